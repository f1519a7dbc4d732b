import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { parseManifests, readManifests, SourceError } from './manifests.ts';

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'vipmap-'))));
afterEach(() => rm(folder, { recursive: true }));

async function write(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return path;
}

const service = (name: string, ip = '10.96.0.1') =>
  `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  clusterIP: ${ip}\n  ports:\n  - port: 80\n`;
const names = ({ objects }: ReturnType<typeof parseManifests>) => objects.services.map(({ name }) => name);

describe('readManifests', () => {
  it('reads files, folders and standard input, and a file that is named twice once', async () => {
    const file = await write('one.yaml', service('one'));
    await write('d/b.yml', service('b'));
    await write(
      'd/a/c.json',
      JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'c' }, spec: { clusterIP: 'None' } }),
    );
    await write('d/.hidden.yaml', service('hidden'));
    await write('d/..data/x.yaml', service('linked'));
    await symlink(join(folder, 'd/..data/x.yaml'), join(folder, 'd/x.yaml'));
    await symlink(folder, join(folder, 'd/circle.yaml'));
    await write('d/notes.txt', 'hello');
    const found = await readManifests([file, join(folder, 'd'), file, '-'], {
      readStdin: () => Promise.resolve(service('piped')),
    });
    expect(names(found)).toEqual(['one', 'c', 'b', 'linked', 'piped']);
    expect(found.problems).toEqual([]);
  });

  it('throws a SourceError that names the path and the remedy', async () => {
    const path = join(folder, 'nowhere.yaml');
    const attempt = readManifests([path]);
    await expect(attempt).rejects.toThrow(SourceError);
    await expect(attempt).rejects.toThrow(`cannot read "${path}": no such file or folder; check the path`);
  });

  it('says that a folder holds nothing', async () => {
    const { problems } = await readManifests([folder]);
    expect(problems).toEqual([{ object: `Folder ${folder}`, message: 'holds no .yaml, .yml or .json file' }]);
  });

  it('uses the later of two objects with the same name, and its problems only', async () => {
    const paths = [await write('a.yaml', service('web', 'bad')), await write('b.yaml', service('web', '10.96.0.2'))];
    const { objects, problems } = await readManifests(paths);
    expect(objects.services).toMatchObject([{ clusterIps: { ip: '10.96.0.2' } }]);
    expect(problems).toEqual([
      { object: 'Service default/web', message: `is given twice, in ${paths.join(' and ')}; the later one is used` },
    ]);
  });
});

describe('parseManifests', () => {
  it('takes lists of any kind, whose items may leave out what the list says', () => {
    const spec = { clusterIP: '10.96.0.1' };
    const item = (name: string) => ({ metadata: { name }, spec });
    const typed = { kind: 'ServiceList', apiVersion: 'v1', items: [item('a')] };
    const list = {
      kind: 'List',
      apiVersion: 'v1',
      items: [{ ...item('b'), kind: 'Service', apiVersion: 'v1' }, typed],
    };
    expect(names(parseManifests(JSON.stringify(list), 'x'))).toEqual(['b', 'a']);
    expect(parseManifests('{"kind":"ServiceList","apiVersion":"v1","items":null}', 'x').problems).toEqual([]);
  });

  it('counts other kinds, also those of other projects that share a name', () => {
    const text = ['Pod', 'Deployment', 'Pod'].map((kind) => `kind: ${kind}\napiVersion: v1\n`).join('---\n');
    const foreign = '---\nkind: Service\napiVersion: serving.knative.dev/v1\nmetadata: {name: f}\n';
    const { passedOver, problems } = parseManifests(text + foreign, 'x');
    expect([...passedOver]).toEqual([
      ['Deployment', 1],
      ['Pod', 2],
      ['Service', 1],
    ]);
    expect(problems).toEqual([]);
  });

  it('says that an apiVersion is wrong', () => {
    const text =
      'kind: EndpointSlice\napiVersion: discovery.k8s.io/v1beta1\nmetadata: {name: web-1, namespace: shop}\n';
    expect(parseManifests(text, 'x').problems).toEqual([
      {
        object: 'EndpointSlice shop/web-1',
        message:
          'apiVersion "discovery.k8s.io/v1beta1" is not known, accepted: discovery.k8s.io/v1; the object is skipped',
      },
    ]);
  });

  it('loses one document of a stream to a syntax error, and says where it is', () => {
    const text = `%YAML 1.2\n---\n# first\n${service('a')}--- # bad\nkind: Service\n\tx: 1\n---\n${service('b')}---\n`;
    const found = parseManifests(text, 'x.yaml');
    expect(names(found)).toEqual(['a', 'b']);
    expect(found.problems).toEqual([
      { object: 'File x.yaml', message: expect.stringMatching(/^line 14: .+; what stands there is skipped$/) },
    ]);
  });

  it('loses one item of a list as kubectl prints it', () => {
    const item = (name: string) => `- ${service(name).trimEnd().replaceAll('\n', '\n  ')}\n`;
    const text = `apiVersion: v1\nitems:\n${item('a')}- kind: Service\n  spec: {\n${item('b')}kind: List\n`;
    const found = parseManifests(text, 'x.yaml');
    expect(names(found)).toEqual(['a', 'b']);
    expect(found.problems).toMatchObject([{ message: expect.stringMatching(/^line 1[123]: /) }]);
  });

  it('reads a large list piece by piece and gives the same', () => {
    const item = (index: number) =>
      `- ${service(`s-${index}`, `10.96.${index >> 8}.${index & 255}`)
        .trimEnd()
        .replaceAll('\n', '\n  ')}\n`;
    const items = Array.from({ length: 12_000 }, (_, index) => item(index));
    const text = `apiVersion: v1\nitems:\n${items.join('')}kind: List\nmetadata:\n  resourceVersion: ""\n`;
    expect(text.length).toBeGreaterThan(1_000_000);
    const found = parseManifests(text, 'x.yaml');
    expect(found.objects.services).toHaveLength(12_000);
    expect(found.objects.services[11_999]).toMatchObject({ name: 's-11999', clusterIps: { ip: '10.96.46.223' } });
    expect(found.problems).toEqual([]);
  });

  it('names the file and the place of broken JSON', () => {
    const long = `{\n "a": [\n  ${'1, '.repeat(50)}\n 2 3]}`;
    for (const [text, line] of [
      ['{\n "kind": }', 2],
      [`{"a": "${'x'.repeat(80)}",\n\n "kind": }`, 3],
      [long, 4],
      ['{', 1],
    ] as const) {
      const message = expect.stringMatching(
        new RegExp(`^is not valid JSON: line ${line}: .+; the file is skipped$`),
      ) as unknown;
      expect(parseManifests(text, 'x.json').problems).toEqual([{ object: 'File x.json', message }]);
    }
  });

  it.each([
    ['', 'is empty'],
    ['# nothing\n---\n', 'is empty'],
    ['just text', 'holds "just text", which is no object; it is skipped'],
    ['a: 1', 'holds an object without kind: "{\\"a\\":1}"; it is skipped'],
  ])('says what is wrong with %j', (text, message) => {
    expect(parseManifests(text, 'x').problems).toEqual([{ object: 'File x', message }]);
  });

  it('reads scalars as Kubernetes does', () => {
    const text = `kind: Service\napiVersion: v1\nmetadata: {name: web, creationTimestamp: 2026-01-05T10:00:00Z}\nspec:\n  clusterIP: 10.96.0.1\n  ports: [{port: 0120}, {name: x, port: 1_000}, {name: "y", port: yes}, {name: z, port: 0x50, protocol: UDP}]\n`;
    const { objects, problems } = parseManifests(text, 'x');
    expect(objects.services[0]?.ports.map(({ port }) => port)).toEqual([80, 1000, 80]);
    expect(problems.map(({ message }) => message)).toEqual([
      'port "y": port "true" is not a port (1-65535); the port is skipped',
    ]);
  });

  it('never throws on any text', () => {
    const line = fc.constantFrom(
      '---',
      'items:',
      '- a: 1',
      '  b: [',
      'kind: List',
      '%TAG x',
      '...',
      '\t',
      '- &a *a',
      '{',
      '"',
      '? x',
      '- ',
      '#',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(line, fc.string())), (lines) => void parseManifests(lines.join('\n'), 'x')),
      { numRuns: 500 },
    );
  });
});
