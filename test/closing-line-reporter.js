// Prints what was skipped and why, and one plain closing line: "N passed, N failed, N skipped".
export default class ClosingLineReporter {
  onRunComplete(_contexts, results) {
    process.stdout.write(
      `\n${results.numPassedTests} passed, ${results.numFailedTests + results.numRuntimeErrorTestSuites} failed, ${results.numPendingTests + results.numTodoTests} skipped\n`,
    );
  }
}
