// What the examples of docs/credentials.md seal in Python and Go, our own gateways open.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { expect, test, type TestContext } from 'vitest';

import { generateSealingKey } from '../../src/secrets/sealing-key.ts';
import { Secret } from '../../src/secrets/secret.ts';
import { createUnsealer } from '../../src/secrets/unsealer.ts';
import { temporaryFolder } from '../helpers/temporary-folder.ts';

const SECRET = 'sk-tenants-own-key';
const OWNER = { purpose: 'byok', provider: 'openai', tenant: 'acme' } as const;
const { privateKey, publicKey } = await generateSealingKey();
const PYTHON_MAIN = `import sys
from seal import seal
print(seal(sys.argv[1], sys.argv[2], purpose="byok", provider="openai", tenant="acme"))
`;
const GO_MAIN = `package main

import (
	"fmt"
	"os"

	"example.com/seal"
)

func main() {
	sealed, err := seal.Seal(os.Args[1], os.Args[2], map[string]string{"purpose": "byok", "provider": "openai", "tenant": "acme"})
	if err != nil {
		panic(err)
	}
	fmt.Println(sealed)
}
`;

test('Python seals with jwcrypto', async (context) => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'seal.py'), await exampleOf('python'));
  await writeFile(join(folder, 'main.py'), PYTHON_MAIN);
  await prepare(context, 'python3', ['-m', 'pip', 'install', '--quiet', '--target', folder, 'jwcrypto==1.6.1'], folder);
  const { stdout } = await execa('python3', ['main.py', SECRET, publicKey], { cwd: folder });
  expect(await opened(stdout)).toBe(SECRET);
});

test('Go seals with jwx', async (context) => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'go.mod'), 'module example.com/seal\n\ngo 1.26\n\nrequire github.com/lestrrat-go/jwx/v3 v3.4.0\n');
  await writeFile(join(folder, 'seal.go'), await exampleOf('go'));
  await execa('mkdir', ['cmd'], { cwd: folder });
  await writeFile(join(folder, 'cmd', 'main.go'), GO_MAIN);
  await prepare(context, 'go', ['mod', 'tidy'], folder);
  const { stdout } = await execa('go', ['run', './cmd', SECRET, publicKey], { cwd: folder });
  expect(await opened(stdout)).toBe(SECRET);
});

/** Installs what an example imports. A machine without the language, or without its registry, leaves the test out. */
async function prepare({ skip }: TestContext, program: string, args: string[], cwd: string): Promise<void> {
  const { failed } = await execa(program, args, { cwd, reject: false });
  skip(failed, `${program} ${args[0]} is unavailable`);
}

async function opened(sealed: string): Promise<string> {
  return (await createUnsealer(new Secret(privateKey)).open(sealed.trim(), OWNER)).reveal();
}

/** The code of an example, as it is in the docs. */
async function exampleOf(language: string): Promise<string> {
  const docs = await readFile(join(import.meta.dirname, '../../docs/credentials.md'), 'utf8');
  const [, code = ''] = new RegExp(`<!-- example: ${language} -->\n\`\`\`${language}\n([^\`]*)\`\`\``).exec(docs) ?? [];
  return code;
}
