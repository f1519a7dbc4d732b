// Stands in the bundle for the HTTP client that the Kubernetes client library would use: our requests go by Node's own
// (src/source/kubernetes/https.ts), and that megabyte would be in the memory of every node.
class Unused {
  constructor() {
    throw new Error('undici is not part of this bundle');
  }
}
export { Unused as Agent, Unused as ProxyAgent };
export const fetch = () => new Unused();
