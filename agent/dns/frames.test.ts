import fc from 'fast-check';
import { expect, it } from 'vitest';
import { frame, FrameReader } from './frames.js';

it('gives back the messages of a stream, however TCP cuts it', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (sent, cuts) => {
      let rest = Buffer.concat(sent.map((message) => frame(Buffer.from(message))));
      const reader = new FrameReader();
      const received: Buffer[] = [];
      for (let index = 0; rest.length > 0; index++) {
        const size = cuts[index % cuts.length] ?? 1;
        received.push(...reader.push(rest.subarray(0, size)));
        rest = rest.subarray(size);
      }
      expect(received.map((message) => [...message])).toEqual(sent.map((message) => [...message]));
    }),
  );
});
