/** A file that cannot be read as samples at all: the message says why and names the remedy. */
export class CsvProblem extends Error {}
