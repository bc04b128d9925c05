import { z } from 'zod';

import { durationSchema } from './duration-schema.ts';
import { sealedSchema } from './sandbox-spec.ts';
import { isStorable } from './text.ts';

const MAX_NAME_BYTES = 255;

const bytes = (text: string): number => new TextEncoder().encode(text).length;

/** A path below the workspace that Linux and git accept. */
export const relativePathSchema = z
  .string()
  .min(1)
  .max(512)
  .refine(
    (path) =>
      !path.startsWith('/') && !path.includes('\0') && !path.split('/').some((part) => part === '..' || part === '.' || part === ''),
    'must be a relative path inside the workspace',
  )
  .refine((path) => path.split('/').every((part) => bytes(part) <= MAX_NAME_BYTES), 'must have names of at most 255 bytes of UTF-8')
  .refine((path) => !path.split('/').some((part) => part.toLowerCase() === '.git'), 'must not lie in .git')
  .refine(isStorable, 'must be well-formed text without NUL');

const filesSchema = z
  .record(
    relativePathSchema,
    z.string().overwrite((text) => text.toWellFormed()),
  )
  .superRefine((files, context) => {
    for (const path of Object.keys(files)) {
      const folder = foldersOf(path).find((name) => Object.hasOwn(files, name));
      if (folder !== undefined) context.addIssue({ code: 'custom', path: [path], message: `must not lie in ${folder}, which is a file` });
    }
  });

export const workspaceSchema = z
  .strictObject({
    files: filesSchema.optional().describe('Text files by relative path.'),
    git: z
      .string()
      .regex(/^(https?|git):\/\/\S+$/, 'must be an https, http or git URL; a folder on the host of the worker goes into path')
      .refine((url) => !/^\w+:\/\/[^/]*@/.test(url), 'must not hold a user, a password or a token')
      .optional()
      .describe('URL of a repository that the worker clones.'),
    path: z.string().regex(/^\//, 'must be an absolute path').optional().describe('A folder or a repository on the host of the worker.'),
    ref: z
      .string()
      .refine(isRef, 'must be a branch, a tag, a ref such as refs/pull/1/head, or a commit, as git names them')
      .optional()
      .describe('What of `git` or `path` to check out: a branch, a tag, a ref such as refs/pull/1/head, or a commit.'),
    depth: z
      .union([z.int().min(1).max(1_000_000), z.literal('full')])
      .optional()
      .describe('Commits of history that come along from `git` or `path`; 50 when left out.'),
    gitToken: sealedSchema.optional().describe('A token for `git`, sealed. Neither Temporal nor the agent sees it.'),
    push: z
      .strictObject({
        branch: z.string().refine(isBranch, 'must be the name of a branch as git has it, without refs/heads/ before it'),
        token: sealedSchema
          .optional()
          .describe('A token that may push, sealed; gitToken when left out. Neither Temporal nor the agent sees it.'),
      })
      .optional()
      .describe('The branch of `git` to which the worker pushes the work of the job once it has completed.'),
    setup: z
      .array(
        z
          .string()
          .max(4096)
          .refine((text) => text.trim() !== '', 'must not be empty')
          .refine((text) => text.isWellFormed() && !text.includes('\0'), 'must be text without NUL'),
      )
      .max(20)
      .optional()
      .describe('Shell commands that run in the workspace before the first turn, in order. Readable in Temporal.'),
    setupTimeout: durationSchema('2h').optional().describe('How long all setup commands together may take; 10m when left out.'),
  })
  .refine(
    ({ files, git, path }) => [files, git, path].filter((from) => from !== undefined).length <= 1,
    'must have at most one of files, git and path',
  )
  .superRefine(({ files, git, path, ref, depth }, context) => {
    for (const [name, value] of Object.entries({ ref, depth })) {
      if (value === undefined || git !== undefined || path !== undefined) continue;
      context.addIssue({ code: 'custom', path: [name], message: files === undefined ? 'needs git or path' : 'does not go with files' });
    }
  })
  .refine(({ git, gitToken }) => gitToken === undefined || git?.startsWith('https://') === true, {
    path: ['gitToken'],
    message: 'goes with an https URL in git only',
  })
  .refine(({ git, push }) => push === undefined || git !== undefined, { path: ['push'], message: 'needs git' })
  .refine(({ git, push }) => push?.token === undefined || git?.startsWith('https://') === true, {
    path: ['push', 'token'],
    message: 'goes with an https URL in git only',
  })
  .refine(({ setup, setupTimeout }) => setupTimeout === undefined || setup !== undefined, {
    path: ['setupTimeout'],
    message: 'needs setup',
  });

/** Whether git accepts a ref's name (git-check-ref-format), with or without `refs/heads/` before it. */
export function isRef(name: string): boolean {
  if (name === '' || name === '@' || bytes(name) > 1024 || !name.isWellFormed()) return false;
  if (Array.from(name).some((char) => char <= ' ' || char === '\u007F')) return false;
  if (/[~^:?*[\\]|\.\.|@\{|^-|\.$/.test(name)) return false;
  return name.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'));
}

/** Whether git accepts a branch of that name. */
function isBranch(name: string): boolean {
  return isRef(name) && name !== 'HEAD' && !name.startsWith('refs/');
}

/** Returns the folders above a path. */
function foldersOf(path: string): string[] {
  const names = path.split('/');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'));
}
