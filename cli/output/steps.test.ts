import { describe, expect, it } from 'vitest';
import { StepTeller } from './steps.js';

function tellAll(isTty: boolean): string {
  let text = '';
  const teller = new StepTeller({ stderr: { write: (part) => (text += part), isTty }, env: { NO_COLOR: '1' } });
  teller.tell({ step: 'machines', state: 'begun' });
  teller.tell({ step: 'controller', state: 'begun' });
  teller.tell({ step: 'machines', state: 'done', ms: 1234 });
  teller.tell({ step: 'controller', state: 'done', ms: 20 });
  teller.clear();
  return text;
}

describe('StepTeller', () => {
  it('tells in a file what is done', () => {
    expect(tellAll(false)).toBe('done   machines (1.2 s)\ndone   controller (0.0 s)\n');
  });

  it('tells on a terminal also what is under way, on a line that it takes back', () => {
    expect(tellAll(true).split('\r\u001b[K')).toEqual([
      '',
      '...    machines',
      '...    machines, controller',
      'done   machines (1.2 s)\n',
      '...    controller',
      'done   controller (0.0 s)\n',
      '',
    ]);
  });
});
