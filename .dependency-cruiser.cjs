// The architecture, as rules that `npm run check` enforces. Each rule's comment is its reason, and is printed when the
// rule is broken. docs/design/ has the rooms and what each is for.

const TEST = '\\.test\\.ts$';

/** Tests, and what only tests share: `testing.ts`, `x.testing.ts`, `testing/x.ts`. */
const TESTING = '(\\.test|(^|/|\\.)testing)\\.ts$|/testing/';

/** A module of npm, by name: as resolved, and as written when it is not installed. */
const npm = (...names) => `^(node_modules/)?(${names.join('|')})(/|$)`;

/** Node's modules that reach outside the process. */
const IO = '^(node:)?(fs|child_process|cluster|dgram|dns|http|http2|https|readline|repl|tls|worker_threads)(/|$)';

/**
 * The rooms of a daemon, from the top: a room imports only from lines below its own, and rooms of one line do not know
 * each other. main.ts stands above all: it alone makes things and joins them.
 */
const ROOMS = {
  controller: [
    ['api'],
    ['upkeep', 'backup', 'liveness'],
    ['fanout', 'commit', 'events'],
    ['domain'],
    ['cache', 'etcd'],
    ['store'],
    ['identity'],
  ],
  agent: [
    ['reconcile', 'runtimes'],
    ['drivers', 'sandbox'],
    ['tables'],
    ['dns', 'balance', 'sync'],
    ['kernel'],
    ['state'],
  ],
};

const roomOrder = Object.entries(ROOMS).flatMap(([daemon, lines]) =>
  lines.flatMap((line, index) =>
    line.map((room) => {
      const closed = lines
        .slice(0, index + 1)
        .flat()
        .filter((other) => other !== room);
      return {
        name: `rooms-${daemon}-${room}`,
        comment:
          `Arrows run one way: ${daemon}/${room} imports only from rooms below it, so that each can be understood ` +
          'and tested without what stands on it. What it needs from above is handed to it by main.ts.',
        severity: 'error',
        from: { path: `^${daemon}/${room}/` },
        to: { path: `^${daemon}/(${[...closed.map((other) => `${other}/`), 'main\\.ts$'].join('|')})` },
      };
    }),
  ),
);

module.exports = {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Two files that need each other are one thing in two places, or hide a third. Move what both need.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'daemons-apart',
      comment: 'Controller and agent meet on the wire only: they run on different machines, in different versions.',
      severity: 'error',
      from: { path: '^(controller|agent)/' },
      to: { path: '^(controller|agent)/', pathNot: '^$1/' },
    },
    {
      name: 'core-stands-alone',
      comment: 'core/ is the shared vocabulary. What everything imports must itself import nothing of the project.',
      severity: 'error',
      from: { path: '^core/' },
      to: { path: '^(agent|bench|bin|cli|controller|deploy|e2e|proto)/' },
    },
    {
      name: 'core-without-io',
      comment: 'core/ decides and never acts, so that its rules are tested by tables. I/O belongs to the daemons.',
      severity: 'error',
      from: { path: '^core/', pathNot: [TESTING, '^core/daemon/'] },
      to: { path: [IO, '^core/daemon/', npm('koffi', 'etcd3', '@grpc/[^/]+')] },
    },
    {
      name: 'daemon-basics-are-for-daemons',
      comment:
        'core/daemon/ is what surrounds a daemon: its log, its metrics, its files. Clients and the wire have neither.',
      severity: 'error',
      from: { path: '^(proto|cli)/' },
      to: { path: '^core/daemon/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'proto-knows-the-core-only',
      comment: 'proto/ turns wire messages into the model and back. Who sends them is not its affair.',
      severity: 'error',
      from: { path: '^proto/' },
      to: { path: '^(agent|bench|bin|cli|controller|deploy|e2e)/' },
    },
    {
      name: 'cli-is-a-client',
      comment: 'cli/ can do what any client of the API can, and no more: it imports the vocabulary and the wire.',
      severity: 'error',
      from: { path: '^cli/' },
      to: { path: '^(agent|bench|controller|deploy|e2e)/', pathNot: '^e2e/lab/' },
    },
    {
      name: 'lab-has-one-face',
      comment: 'The lab verb is the face of the lab library; no other command has any business in a lab.',
      severity: 'error',
      from: { path: '^cli/', pathNot: ['^cli/commands/lab(\\.test)?\\.ts$'] },
      to: { path: '^e2e/' },
    },
    {
      name: 'lab-runs-the-real-thing',
      comment: 'Labs and the demo start the binaries that users start. Importing their code would test something else.',
      severity: 'error',
      from: { path: '^e2e/(lab|demo)/' },
      to: { path: '^(agent|bench|cli|controller)/' },
    },
    {
      name: 'simulated-agents-are-agents',
      comment:
        'A simulated agent is the real one’s code in a process of its own, and meets a controller on the wire only, as ' +
        'the real one does. Who starts it hands it its certificate.',
      severity: 'error',
      from: { path: '^e2e/simulated/', pathNot: TESTING },
      to: { path: '^(bench|cli|controller)/' },
    },
    {
      name: 'no-tests-in-production',
      comment:
        'Tests, labs and benchmarks stand on the programs, never the other way. (The lab verb is the exception.)',
      severity: 'error',
      from: { path: '^(agent|cli|controller|core|proto)/', pathNot: [TESTING, '^cli/commands/lab\\.ts$'] },
      to: { path: [TESTING, '^(bench|e2e)/', npm('vitest', 'fast-check')] },
    },
    {
      name: 'tests-are-leaves',
      comment: 'A test that another test imports runs twice. What two tests share is a file of its own.',
      severity: 'error',
      from: {},
      to: { path: TEST },
    },
    {
      name: 'koffi-in-one-file',
      comment: 'A wrong descriptor or length that goes through koffi is silent damage: one file checks every argument.',
      severity: 'error',
      from: { pathNot: '^agent/kernel/ffi(\\.test)?\\.ts$' },
      to: { path: npm('koffi') },
    },
    {
      name: 'etcd3-in-the-store',
      comment:
        'etcd3 loses watch events and leases (see docs/design/); controller/store/ knows which of its calls are safe.',
      severity: 'error',
      from: { pathNot: '^controller/store/' },
      to: { path: npm('etcd3', 'cockatiel') },
    },
    {
      name: 'grpc-at-the-edges',
      comment:
        'gRPC types stay where calls come in and go out (etcd is one such place); rules and tables must not depend on ' +
        'how they are told.',
      severity: 'error',
      from: {
        pathNot: [
          '^proto/',
          '^controller/(api/|store/|main\\.ts$)',
          '^agent/(sync/|runtimes/|main\\.ts$)',
          '^cli/',
          '^(e2e|bench)/',
          TESTING,
          '^node_modules/',
        ],
      },
      to: { path: npm('@grpc/[^/]+') },
    },
    {
      name: 'domain-is-pure',
      comment:
        'controller/domain/ answers (view, command) with a guarded transaction. It knows the words of the store, not a store.',
      severity: 'error',
      from: { path: '^controller/domain/', pathNot: TESTING },
      to: {
        path: [IO, '^controller/store/(etcd|memory|group-commit|watch|lease|election|embedded-etcd)'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'drivers-are-pure',
      comment: 'A driver turns desired state into tables. Touching the kernel is the tables’ work, after the diff.',
      severity: 'error',
      from: { path: '^agent/drivers/', pathNot: TESTING },
      to: { path: [IO, '^agent/kernel/'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'state-is-pure-folding',
      comment: 'agent/state/ folds what the controller said; only its snapshot file touches a disk.',
      severity: 'error',
      from: { path: '^agent/state/', pathNot: [TESTING, '^agent/state/snapshot-file\\.ts$'] },
      to: { path: IO },
    },
    ...roomOrder,
    {
      name: 'declared-packages',
      comment: 'A package that comes along with another goes with it, too: declare what is imported in package.json.',
      severity: 'error',
      from: { pathNot: '^node_modules/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-dev-packages-in-production',
      comment: 'An installed Weft has no development packages.',
      severity: 'error',
      from: { path: '^(agent|cli|controller|core|proto)/', pathNot: TESTING },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'resolvable',
      comment: 'An import that leads nowhere fails when a user runs into it.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^dist/'] },
    // Also what is imported for its types: a type from the wrong room is knowledge from the wrong room.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
    skipAnalysisNotInRules: true,
  },
};
