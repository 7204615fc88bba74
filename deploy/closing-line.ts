/** A vitest reporter that ends the output with one line for machines: `12 passed, 0 failed, 1 skipped`. */
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/** Registered in vitest.config.ts. Says nothing until the process ends, so that no other reporter writes after it. */
export class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const states = tests.map((test) => test.result().state);
    // A file that does not load and a failing hook have no failed test of their own, but must not look green.
    const failedTests = states.filter((state) => state === 'failed').length;
    const brokenFiles = modules.filter(
      (module) => module.state() === 'failed' && [...module.children.allTests('failed')].length === 0,
    ).length;
    const passed = states.filter((state) => state === 'passed').length;
    const failed = failedTests + brokenFiles + unhandledErrors.length;
    const skipped = states.length - passed - failedTests;
    const line = `${String(passed)} passed, ${String(failed)} failed`;
    process.once('exit', () => process.stdout.write(`\n${line}${skipped > 0 ? `, ${String(skipped)} skipped` : ''}\n`));
  }
}
