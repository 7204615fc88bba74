// Starts a program of the checkout that is not installed with Weft: node deploy/start.js FOLDER [ARG...]
import { launch } from '../bin/launch.js';

const [program = '', ...argv] = process.argv.slice(2);
await launch(program, argv);
