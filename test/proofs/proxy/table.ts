import { bodies } from './bodies.ts';
import type { Case } from './case.ts';
import { hangUps } from './hang-ups.ts';
import { http } from './http.ts';
import { isolation } from './isolation.ts';
import { limits } from './limits.ts';
import { revocation } from './revocation.ts';
import { spend } from './spend.ts';

/** The attack table: each line of the review of the gateway is a case, and some of what held. */
export const CASES: readonly Case[] = [...bodies, ...spend, ...hangUps, ...isolation, ...http, ...limits, ...revocation];
