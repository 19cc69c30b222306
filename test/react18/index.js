export { default as react } from "react";
export { createRoot, hydrateRoot } from "react-dom/client";
export { renderToString } from "react-dom/server";
