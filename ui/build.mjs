// Build the bundle: air.js, air.css and the licences of what is in them. `node build.mjs [FOLDER]`
import { build } from "esbuild";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const MOST_BYTES = 300_000;
const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../airflow_provider_air/pages/static");

mkdirSync(target, { recursive: true });
const shared = { absWorkingDir: here, bundle: true, minify: true, charset: "utf8", legalComments: "none", logLevel: "warning" };
const { metafile } = await build({
  ...shared,
  entryPoints: ["src/main.tsx"],
  outfile: join(target, "air.js"),
  format: "iife",
  target: "es2020",
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { "process.env.NODE_ENV": '"production"' },
  metafile: true,
  // The same on every machine: no path of this one gets in.
  sourcemap: false,
});
await build({ ...shared, entryPoints: ["src/air.css"], outfile: join(target, "air.css"), target: "es2020" });
writeFileSync(join(target, "LICENSES.txt"), licences(Object.keys(metafile.inputs)));

const sizes = ["air.js", "air.css"].map((name) => [name, gzipSync(readFileSync(join(target, name)), { level: 9 }).length]);
const sum = sizes.reduce((total, [, size]) => total + size, 0);
console.log(`${sizes.map(([name, size]) => `${name} ${(size / 1000).toFixed(1)} kB`).join(", ")}: ${(sum / 1000).toFixed(1)} kB compressed`);
if (sum > MOST_BYTES) {
  console.error(`More than ${MOST_BYTES / 1000} kB`);
  process.exit(1);
}

/** The licences of the packages whose files are in the bundle. */
function licences(inputs) {
  const folders = new Set();
  for (const input of inputs) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(relative(here, join(here, input)));
    if (found) {
      folders.add(found[1]);
    }
  }
  const parts = [...folders].sort().map((folder) => {
    const about = JSON.parse(readFileSync(join(here, folder, "package.json"), "utf8"));
    const files = readdirSync(join(here, folder)).filter((name) => /^(licen[cs]e|notice|copying)/i.test(name)).sort();
    const texts = files.filter((name) => existsSync(join(here, folder, name))).map((name) => {
      const path = join(here, folder, name);
      try {
        return readFileSync(path, "utf8").trim();
      } catch {
        return "";
      }
    });
    return [`${about.name} ${about.version} (${about.license})`, ...texts.filter(Boolean)].join("\n\n");
  });
  return `air.js holds these packages.\n\n${parts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}
