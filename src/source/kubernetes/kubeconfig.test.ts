import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadKubeConfig } from './kubeconfig.ts';

let folder = '';
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'vipmap-'))));
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

/** As kubeadm writes it for service proxies. */
const kubeadm = `
apiVersion: v1
kind: Config
clusters:
- name: default
  cluster: {certificate-authority: ca.crt, server: "https://192.168.0.10:6443"}
contexts:
- name: default
  context: {cluster: default, namespace: default, user: default}
current-context: default
users:
- name: default
  user: {tokenFile: TOKEN}
`;

const headersOf = async (kubeconfig: string, master = '') => {
  const config = await loadKubeConfig({ kubeconfig, master });
  const headers: { headers: Record<string, string> } = { headers: {} };
  await config.applyToHTTPSOptions(headers);
  return { server: config.getCurrentCluster()?.server, headers: headers.headers, config };
};

describe('a kubeconfig', () => {
  it('gives server, certificate authority and the token of a file', async () => {
    await file('ca.crt', 'a certificate');
    const token = await file('token', 'first');
    const path = await file('kubeconfig', kubeadm.replace('TOKEN', token));
    const { server, headers, config } = await headersOf(path);
    expect(server).toBe('https://192.168.0.10:6443');
    expect(config.getCurrentCluster()?.caFile).toBe(join(folder, 'ca.crt'));
    expect(headers['Authorization']).toBe('Bearer first');
  });

  it('gives way to --master, the rest stays', async () => {
    await file('ca.crt', 'a certificate');
    const token = await file('token', 'first');
    const path = await file('kubeconfig', kubeadm.replace('TOKEN', token));
    const { server, headers } = await headersOf(path, 'https://10.0.0.1:6443/');
    expect(server).toBe('https://10.0.0.1:6443');
    expect(headers['Authorization']).toBe('Bearer first');
  });

  it('may be a URL alone, without credentials', async () => {
    const { server } = await headersOf('', 'http://127.0.0.1:8080');
    expect(server).toBe('http://127.0.0.1:8080');
  });

  it.each([
    ['a file that is not there', '/no/kubeconfig', '', /cannot read the kubeconfig "\/no\/kubeconfig": .*ENOENT/],
    ['no API server at all', '', '', /no API server is named: give --kubeconfig FILE/],
    ['a master that is no URL', '', '192.168.0.10', /the API server "192.168.0.10" is not a URL; give one such as/],
  ])('is refused with a clear word: %s', async (_, kubeconfig, master, words) => {
    await expect(loadKubeConfig({ kubeconfig, master })).rejects.toThrow(words);
  });

  it('without a current context is refused', async () => {
    const path = await file('no-context', kubeadm.replace('current-context: default', 'current-context: other'));
    await expect(loadKubeConfig({ kubeconfig: path, master: '' })).rejects.toThrow(
      /current-context "other" names no cluster/,
    );
  });
});
