import { z } from 'zod';

/** An answer whose status says all. */
export const anySchema = z.unknown();

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? null);

const count = z
  .number()
  .nullish()
  .transform((value) => value ?? 0);

/** `GET /key/info`: the row of a key, live or deleted. */
export const keyInfoSchema = z.object({
  info: z.object({
    status: text,
    models: z.array(z.string()),
    allowed_routes: z
      .array(z.string())
      .nullish()
      .transform((routes) => routes ?? []),
    max_budget: z
      .number()
      .nullish()
      .transform((usd) => usd ?? null),
    team_id: text,
    expires: text,
  }),
});
export type LiteLlmKey = z.output<typeof keyInfoSchema>;

/** `GET /key/list` with `return_full_object`. */
export const keyListSchema = z.object({
  keys: z.array(z.object({ token: z.string(), key_alias: text, created_at: z.string() })),
  total_pages: z.number(),
});

/** `GET /spend/logs/v2`. */
export const spendLogsSchema = z.object({
  data: z.array(
    z.object({
      spend: z.number(),
      prompt_tokens: count,
      completion_tokens: count,
      status: text,
    }),
  ),
  total_pages: z.number(),
});

/** `GET /health/readiness`. */
export const readinessSchema = z.object({ db: text });
