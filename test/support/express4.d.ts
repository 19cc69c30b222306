/** Express 4.18 under a name of its own; the types of Express 5 serve for both where the tests touch them. */
declare module "express4" {
  import express from "express";
  export default express;
}
