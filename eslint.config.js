import { builtinModules } from 'node:module';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const TESTS = ['**/*.test.ts'];

/** Imports refused everywhere, each with what to do instead. */
const restrictedImports = {
  paths: [
    ...builtinModules
      .filter((name) => !name.startsWith('node:') && !name.startsWith('_'))
      .map((name) => ({ name, message: `Say node:${name}, so that no package can take its place.` })),
    {
      name: 'node:child_process',
      importNames: ['exec', 'execSync'],
      message: 'These start a shell. Programs are started with an argv array (execFile, spawn): names come from users.',
    },
    {
      name: 'node:assert',
      message: 'Throw a typed error; in tests use expect.',
    },
  ],
};

/** Syntax refused in every TypeScript file. */
const restrictedSyntax = [
  {
    selector: 'ExportAllDeclaration',
    message: 'No barrels: import a thing from the file that defines it.',
  },
  {
    selector: 'Property[key.name="shell"][value.value=true]',
    message: 'No shell: programs are started with an argv array, names come from users.',
  },
  {
    selector: 'TSEnumDeclaration',
    message: 'A union of string literals is the same value in code, in logs and on the wire.',
  },
];

/** Refused everywhere but where it is dealt with. */
const signalsOfMany = [
  {
    selector: 'MemberExpression[object.name="AbortSignal"][property.name="any"]',
    message: 'Its result can lose a timeout to the garbage collector: anySignal and withDeadline of core/lifetime.ts.',
  },
];

/** Nothing happens on import: a module only defines. Each main.ts is called by its launcher in bin/. */
const nothingOnImport = [
  {
    selector: 'Program > ExpressionStatement > :matches(CallExpression, AwaitExpression, AssignmentExpression)',
    message: 'Nothing happens on import: put this into a function that main.ts calls.',
  },
];

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'node_modules/', 'proto/gen/']),
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-restricted-imports': ['error', restrictedImports],
      'no-restricted-syntax': ['error', ...restrictedSyntax, ...signalsOfMany, ...nothingOnImport],

      // No promise without an owner, and `void promise` is no owner: handle its failure, or keep it and await it.
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: false }],
      // A union that grows must not be ignored by an old switch.
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      // A reason that reaches a caller is an Error with a stack, also out of callbacks.
      '@typescript-eslint/only-throw-error': 'error',
      // `while (true)` states a loop that ends by return; other constant conditions are mistakes.
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      // `using lock = ...` is used by its scope; `const { secret, ...rest }` drops on purpose.
      '@typescript-eslint/no-unused-vars': [
        'error',
        { ignoreUsingDeclarations: true, ignoreRestSiblings: true, argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      // `() => list.push(x)` as a callback reads well, and nobody takes the value.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // An async method with nothing to wait for still turns a throw into a rejection, as its interface promises.
      '@typescript-eslint/require-await': 'off',
      // It asks for `!`, which the strict rules refuse.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      // An index signature and a Record are both fine; so are `interface` and `type` for a shape.
      '@typescript-eslint/consistent-indexed-object-style': 'off',
      '@typescript-eslint/consistent-type-definitions': 'off',
    },
  },
  {
    // Daemons and the core say things by pino or by return values; stdout belongs to the CLI, the demo and the bench.
    files: ['core/**/*.ts', 'controller/**/*.ts', 'agent/**/*.ts', 'proto/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    // Tests are defined by calls at the top of a file.
    files: [...TESTS],
    rules: { 'no-restricted-syntax': ['error', ...restrictedSyntax, ...signalsOfMany], 'no-console': 'off' },
  },
  {
    files: ['core/lifetime.ts'],
    rules: { 'no-restricted-syntax': ['error', ...restrictedSyntax, ...nothingOnImport] },
  },
  {
    files: ['**/*.js', '**/*.cjs'],
    rules: { eqeqeq: 'error', 'no-restricted-imports': ['error', restrictedImports] },
  },
);
