import { describe, expect, it } from 'vitest';
import { parseAttachment, parseAttachments } from './attachments.js';

describe('parseAttachment', () => {
  it('takes one address of each family, a MAC, aliases and labels', () => {
    expect(
      parseAttachment('web', {
        ip: '10.1.0.9',
        ip6: 'FD00::9',
        mac: '02:AA:00:00:00:01',
        alias: ['api', 'www'],
        label: ['tier=front', 'bare', 'x=a=b'],
      }),
    ).toEqual({
      network: 'web',
      addresses: ['10.1.0.9', 'fd00::9'],
      mac: '02:aa:00:00:00:01',
      aliases: ['api', 'www'],
      labels: { tier: 'front', bare: '', x: 'a=b' },
    });
  });
});

describe('parseAttachments', () => {
  it('makes one attachment a network, in their order', () => {
    expect(parseAttachments({ network: ['web', 'db'] }).map(({ network }) => network)).toEqual(['web', 'db']);
  });

  it('makes none for none', () => {
    expect(parseAttachments({ network: ['none'] })).toEqual([]);
  });

  it("passes connect's flags to the one network", () => {
    expect(parseAttachments({ network: ['web'], ip: '10.1.0.9' })).toMatchObject([
      { network: 'web', addresses: ['10.1.0.9'] },
    ]);
  });
});
