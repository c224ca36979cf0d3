// Fixed names and relative addresses: the daemon serves these files from a table, under any base path.
import { defineConfig } from "vite";

/** A view in a folder of its own is named after the folder. */
function chunkFileNames({ name, facadeModuleId }: { name: string; facadeModuleId: string | null }): string {
  return `${name === "view" ? facadeModuleId?.split("/").at(-2) : name}.js`;
}

export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    target: "es2023",
    outDir: "dist",
    emptyOutDir: true,
    assetsDir: "",
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    rollupOptions: {
      // capture.js runs in an AudioWorklet, a world of its own
      input: { app: "index.html", capture: "src/capture.ts" },
      output: { entryFileNames: "[name].js", chunkFileNames, assetFileNames: "[name][extname]" },
    },
  },
});
