/** Weft's version, as the daemons and the CLI report it; a test holds it against package.json. */
export const VERSION = '0.1.0';
