import { z } from 'zod';

const requestSchema = z.object({ options: z.array(z.object({ optionId: z.string(), kind: z.string() })) });

export type PermissionAnswer = { outcome: { outcome: 'selected'; optionId: string } | { outcome: 'cancelled' } };

/** Allows what the agent asks for, once where it can be said: the sandbox is the limit. What offers no such option is refused. */
export function allow(params: unknown): PermissionAnswer {
  const options = requestSchema.safeParse(params).data?.options ?? [];
  const option = options.find(({ kind }) => kind === 'allow_once') ?? options.find(({ kind }) => kind === 'allow_always');
  return { outcome: option === undefined ? { outcome: 'cancelled' } : { outcome: 'selected', optionId: option.optionId } };
}
