import { describe, expect, it } from 'vitest';
import { divideFilters, predefined, refusePredefined } from './predefined.js';

describe('predefined networks', () => {
  it.each([
    [[], ['bridge', 'host', 'none']],
    [['name=o'], ['host', 'none']],
    [
      ['name=host', 'name=none'],
      ['host', 'none'],
    ],
    [['name=HOST'], ['host']],
    [['driver=bridge'], ['bridge']],
    [['driver=null', 'driver=overlay'], ['none']],
    [['driver=bridge', 'name=none'], []],
    [['dangling=true'], []],
    [['dangling=false'], ['bridge', 'host', 'none']],
    [['label=tier'], []],
    [['label!=tier'], ['bridge', 'host', 'none']],
    [['label!=tier', 'label=tier'], []],
    [['until=24h'], []],
    [['id=3f'], []],
    [['type=builtin'], ['bridge', 'host', 'none']],
    [['type=builtin', 'name=br'], ['bridge']],
    [['type=custom'], []],
    [
      ['type=custom', 'type=builtin'],
      ['bridge', 'host', 'none'],
    ],
  ])('%j lets %j through', (filters, names) => {
    expect(divideFilters(filters).predefined.map(({ name }) => name)).toEqual(names);
  });

  it('all filters but type are the controller’s', () => {
    expect(divideFilters(['name=a', 'type=custom', 'nonsense'])).toEqual({
      ...{ cluster: ['name=a', 'nonsense'], custom: true, predefined: [] },
    });
    // As the table shows it, twelve digits without dashes.
    expect(divideFilters(['id=3f2a91c0b7de', 'id=3f2a91c0', 'id=3F2A91C0B7DE']).cluster).toEqual([
      ...['id=3f2a91c0-b7de', 'id=3f2a91c0', 'id=3F2A91C0B7DE'],
    ]);
    expect(divideFilters(['type=builtin'])).toMatchObject({ cluster: [], custom: false });
    expect(() => divideFilters(['type=volume'])).toThrow(/--filter: "type=volume": expected type=custom/);
  });

  it('are told in any case of letters, and cannot be removed', () => {
    expect(predefined('Bridge')).toEqual({ name: 'bridge', driver: 'bridge' });
    expect(predefined('bridges')).toBeUndefined();
    expect(() => {
      refusePredefined('none');
    }).toThrow(/none is predefined/);
    expect(() => {
      refusePredefined('web');
    }).not.toThrow();
  });
});
