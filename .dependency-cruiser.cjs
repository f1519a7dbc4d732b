// Data flows one way; each folder may import only what stands before it. See README.md, "Where things are".
const layers = {
  net: [],
  model: ['net'],
  source: ['model', 'net'],
  ruleset: ['net'],
  compile: ['model', 'ruleset', 'net'],
  diff: ['ruleset', 'net'],
  kernel: ['ruleset', 'diff', 'net'],
  reconcile: ['kernel', 'diff', 'compile', 'ruleset', 'model', 'net'],
  observe: ['model', 'net'],
};
module.exports = {
  forbidden: [
    ...Object.entries(layers).map(([layer, allowed]) => ({
      name: `layer-${layer}`,
      comment: `src/${layer} may import only from: ${[layer, ...allowed].join(', ')}. Move the piece to the earlier stage it belongs to, or pass it in as data.`,
      severity: 'error',
      from: { path: `^src/${layer}/`, pathNot: '\\.test\\.ts$' },
      to: { path: '^src/', pathNot: `^src/(${[layer, ...allowed].join('|')})/` },
    })),
    {
      name: 'only-kernel-runs-commands',
      comment: 'Only src/kernel starts programs. Add a function to the kernel edge and call that.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/kernel/|\\.test\\.ts$' },
      to: { path: '^(node:)?child_process$' },
    },
    {
      name: 'pure-folders-do-no-io',
      comment:
        'These folders are pure: same input, same output. Read files in source/ or cli/, run commands in kernel/.',
      severity: 'error',
      from: { path: '^src/(net|model|ruleset|compile|diff)/', pathNot: '\\.test\\.ts$' },
      to: {
        path: '^(node:)?(fs|os|net|dgram|process|timers|crypto|worker_threads|http|https)(/|$)|^node_modules/pino',
      },
    },
    {
      name: 'only-source-knows-kubernetes',
      comment: 'Only src/source names Kubernetes clients or YAML; what it reads becomes a ProxyState.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(source|cli)/|\\.test\\.ts$' },
      to: { path: '@kubernetes/client-node|js-yaml' },
    },
    {
      name: 'no-cycles',
      comment: 'Break the cycle: one of the two files holds a piece that belongs in the other.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment: 'Nothing imports this file: delete it or use it.',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: '\\.test\\.ts$' },
      to: {},
    },
    {
      name: 'resolvable',
      comment: 'This import does not resolve: check its path and package.json.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
