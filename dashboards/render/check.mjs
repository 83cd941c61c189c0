// Writes the dashboards as modules for tsc; see src/checked.ts.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';

const from = new URL('../../charts/rephrase-operator/dashboards/', import.meta.url);
const to = new URL('src/generated/', import.meta.url);

await rm(to, { recursive: true, force: true });
await mkdir(to);
for (const name of await readdir(from)) {
  const json = (await readFile(new URL(name, from), 'utf8')).trim();
  const module = `import type { Checked } from '../checked';\nexport default ${json} satisfies Checked;\n`;
  await writeFile(new URL(name.replace('.json', '.ts'), to), module);
}
