import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

/** What a request is answered with: the same whatever its method. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The answer to a request for a path, e.g. `/healthz`: without the query, as the client wrote it. */
export type Answerer = (path: string) => Answer | Promise<Answer>;

/** Keeps browsers from guessing another type; kube-proxy sends it with each of its answers. */
const noSniff = { 'X-Content-Type-Options': 'nosniff' };

export function textAnswer(body: string, status = 200): Answer {
  return { status, headers: { 'Content-Type': 'text/plain; charset=utf-8', ...noSniff }, body };
}

/** The text as it is, which the caller has made JSON. */
export function jsonAnswer(body: string, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { 'Content-Type': 'application/json', ...noSniff, ...headers }, body };
}

/** Answers at the paths that the table names, and 404 elsewhere. */
export function answerByPath(answerers: Readonly<Record<string, () => Answer | Promise<Answer>>>): Answerer {
  const byPath = new Map(Object.entries(answerers));
  return (path) => byPath.get(path)?.() ?? textAnswer('404 page not found\n', 404);
}

/** A listener for node:http that never throws: an answerer's failure becomes a 500 that names it. */
export function requestListener(answer: Answerer): RequestListener {
  return (request, response) => void respond(answer, request, response);
}

async function respond(answer: Answerer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, headers, body } = await answered(answer, request);
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  // The length stands in the header for HEAD too; node:http leaves the body out.
  response.end(body);
}

async function answered(answer: Answerer, { url = '/' }: IncomingMessage): Promise<Answer> {
  try {
    return await answer(url.split('?', 1)[0] ?? '/');
  } catch (error) {
    return textAnswer(`internal error: ${error instanceof Error ? error.message : String(error)}\n`, 500);
  }
}
