import { setTimeout as sleep } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { Admission } from '../../src/proxy/limits/admission.ts';
import type { ReservationResult } from '../../src/store/requests.ts';

const RUN: ReservationResult = { action: 'run', id: '1' };
const never = new AbortController().signal;

it('requests of a job ask one after the other, in the order in which they came', async () => {
  const admission = new Admission();
  const asked: string[] = [];
  let room = false;
  const ask = (name: string) => async (): Promise<ReservationResult> => {
    asked.push(name);
    return room ? RUN : { action: 'wait' };
  };
  const both = Promise.all([admission.admit('job', ask('big'), never), admission.admit('job', ask('small'), never)]);
  await sleep(10);
  expect(asked).toEqual(['big']);
  expect(admission.waiting).toBe(2);
  room = true;
  admission.release('job');
  expect(await both).toEqual([RUN, RUN]);
  expect(asked).toEqual(['big', 'big', 'small']);
  expect(admission.hasQueue('job')).toBe(false);
});

it('a request asks again by itself while other replicas hold the budget', async () => {
  const admission = new Admission();
  let asked = 0;
  const ask = async (): Promise<ReservationResult> => {
    asked += 1;
    return asked === 3 ? RUN : { action: 'wait' };
  };
  expect(await admission.admit('job', ask, never)).toEqual(RUN);
});

it('a request whose caller disconnects leaves the queue, first or not', async () => {
  const admission = new Admission();
  const callers = [new AbortController(), new AbortController()];
  const waiting = callers.map(({ signal }) => admission.admit('job', async () => ({ action: 'wait' }), signal));
  await sleep(10);
  callers[1]?.abort();
  expect(await waiting[1]).toEqual({ action: 'abandoned' });
  const next = admission.admit('job', async () => RUN, never);
  callers[0]?.abort();
  expect(await waiting[0]).toEqual({ action: 'abandoned' });
  expect(await next).toEqual(RUN);
});

it('an error of one request keeps no other from asking', async () => {
  const admission = new Admission();
  const failing = admission.admit('job', () => Promise.reject(new Error('no answer')), never);
  const next = admission.admit('job', async () => RUN, never);
  await expect(failing).rejects.toThrow('no answer');
  expect(await next).toEqual(RUN);
});

it('jobs do not wait for one another', async () => {
  const admission = new Admission();
  const caller = new AbortController();
  const waiting = admission.admit('a', async () => ({ action: 'wait' }), caller.signal);
  expect(await admission.admit('b', async () => RUN, never)).toEqual(RUN);
  caller.abort();
  await waiting;
});
