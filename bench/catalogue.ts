/** All benchmarks, in the order in which they run. */
import { attach } from './attach.js';
import type { Bench } from './bench.js';
import { ipam } from './ipam.js';
import { netlink } from './netlink.js';
import { sync } from './sync/sync.js';
import { throughput } from './throughput.js';

export const BENCHES: readonly Bench[] = [netlink, throughput, attach, ipam, sync];
