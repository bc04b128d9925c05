import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

import { execa } from 'execa';
import { expect, test } from 'vitest';
import { z } from 'zod';

import { root } from './root.ts';

const manifest = z
  .object({ repository: z.object({ url: z.string() }), homepage: z.string(), bugs: z.string(), files: z.array(z.string()) })
  .parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
const repository = manifest.repository.url.replace(/^git\+/, '').replace(/\.git$/, '');
/** Pages of the repository that a link may name although they are not in the package. */
const BLOB = new RegExp(`^${repository}/(?:tree|blob)/main/`);

const pages = await pagesOf(['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs', 'examples']);

async function pagesOf(names: string[]): Promise<string[]> {
  const found = names.map(async (name) => {
    if (!(await stat(join(root, name))).isDirectory()) return [name];
    return (await readdir(join(root, name), { recursive: true })).map((file) => join(name, file));
  });
  return (await Promise.all(found)).flat().filter((name) => name.endsWith('.md'));
}

async function textOf(page: string): Promise<string> {
  return (await readFile(join(root, page), 'utf8')).replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/^ {4}.*$/gm, '');
}

async function linksOf(page: string): Promise<string[]> {
  return [...(await textOf(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? '');
}

/** The anchors of a page, as GitHub makes them of its headings. */
async function anchorsOf(page: string): Promise<string[]> {
  return [...(await textOf(page)).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test.each(pages)('every link of %s leads to a file, and every anchor to a heading', async (page) => {
  const broken: string[] = [];
  for (const link of await linksOf(page)) {
    if (/^https?:/.test(link) && !BLOB.test(link)) continue;
    const [path = '', anchor] = link.split('#');
    const target = BLOB.test(path) ? path.replace(BLOB, '') : path === '' ? page : join(dirname(page), path);
    if (!existsSync(join(root, target))) broken.push(link);
    else if (anchor !== undefined && !(await anchorsOf(target)).includes(anchor)) broken.push(link);
  }
  expect(broken).toEqual([]);
});

test('every file that a page links by a relative path is in the package', async () => {
  const { stdout } = await execa('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root });
  const [packed] = z.array(z.object({ files: z.array(z.object({ path: z.string() })) })).parse(JSON.parse(stdout));
  const inPackage = new Set(packed?.files.map(({ path }) => path));
  expect(inPackage.size).toBeGreaterThan(pages.length);
  const missing: string[] = [];
  for (const page of pages) {
    if (!inPackage.has(page)) missing.push(page);
    for (const link of await linksOf(page)) {
      const [path = ''] = link.split('#');
      if (path === '' || /^https?:/.test(path)) continue;
      const target = relative(root, join(root, dirname(page), path));
      if (!inPackage.has(target)) missing.push(`${page}: ${link}`);
    }
  }
  expect(missing).toEqual([]);
});

test('the package says where it comes from', () => {
  expect(manifest.homepage).toBe(`${repository}#readme`);
  expect(manifest.bugs).toBe(`${repository}/issues`);
});

test('every page of docs/ can be reached from the README', async () => {
  const linked = new Set((await linksOf('README.md')).map((link) => link.split('#')[0]));
  expect(pages.filter((page) => page.startsWith('docs/') && !linked.has(page))).toEqual([]);
});
