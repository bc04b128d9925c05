import { expect, expectTypeOf, test } from 'vitest';
import type { z } from 'zod';

import { jobEventSchema, type JobEventBody } from '../../src/contract/events.ts';
import type { JobSpecInput } from '../../src/contract/spec-input.ts';
import { jobSpecSchema } from '../../src/contract/spec.ts';

// The compiler checks these: the types that an editor shows are those that the schemas check.

test('the documented type of a job is what its schema takes', () => {
  expectTypeOf<JobSpecInput>().toExtend<z.input<typeof jobSpecSchema>>();
  expectTypeOf<z.input<typeof jobSpecSchema>>().toExtend<JobSpecInput>();
  expect(jobSpecSchema.shape).toHaveProperty('labels');
});

test('the documented types of events are what their schema makes', () => {
  expectTypeOf<JobEventBody>().toExtend<z.output<typeof jobEventSchema>>();
  expectTypeOf<z.output<typeof jobEventSchema>>().toExtend<JobEventBody>();
  expect(jobEventSchema.options.map(({ shape }) => shape.type.value)).toContain('job.ended');
});
