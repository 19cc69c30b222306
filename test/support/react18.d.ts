/** React 18 under a name of its own; the types of React 19 serve for both where the tests touch them. */
declare module "react18" {
  export const react: typeof import("react");
  export const createRoot: typeof import("react-dom/client").createRoot;
  export const hydrateRoot: typeof import("react-dom/client").hydrateRoot;
  export const renderToString: typeof import("react-dom/server").renderToString;
}
