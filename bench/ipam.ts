/** Addresses given out: through the rules and the store, over gRPC, and what very many of them cost. */
import type { Bench } from './bench.js';
import { measureCalls } from './ipam-calls.js';
import { measureGroups } from './ipam-groups.js';
import { measureScale } from './ipam-scale.js';

export const ipam: Bench = {
  name: 'ipam',
  about:
    'endpoints made in groups, beside one transaction each; Create beside a bare echo; BatchCreate; 100,000 of them',
  run: async (say) => {
    const groups = await measureGroups(say);
    const calls = await measureCalls(say);
    const scale = await measureScale(say);
    return {
      name: ipam.name,
      metrics: {
        groupedPerSecond: groups.groupedPerSecond,
        singlePerSecond: groups.singlePerSecond,
        createPerSecond: calls.createPerSecond,
        echoPerSecond: calls.echoPerSecond,
        batchPerSecond: calls.batchPerSecond,
        payloadBytesPerEndpoint: scale.payloadBytesPerEndpoint,
        etcdBytesPerEndpoint: scale.etcdBytesPerEndpoint,
        etcdRssBytesPerEndpoint: scale.etcdRssBytesPerEndpoint,
        controllerBytesPerEndpoint: scale.controllerBytesPerEndpoint,
        controllerRssBytesPerEndpoint: scale.controllerRssBytesPerEndpoint,
        coldStartMs: scale.coldStartMs,
        emptyStartMs: scale.emptyStartMs,
        bareReadMs: scale.bareReadMs,
      },
      ratios: {
        groupedVsSingle: groups.ratio,
        createVsEcho: calls.createVsEcho,
        coldStartVsBareRead: scale.coldStartVsBareRead,
      },
    };
  },
};
