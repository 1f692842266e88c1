// Reads a JSON array of texts from standard input and prints, for each of them, an array with the value that the parser
// of the devcontainer CLI reads, or null where it reads none. The first argument is the bundle of the CLI.
const fs = require('fs');
const Module = require('module');

const path = process.argv[2];
const source = fs.readFileSync(path, 'utf8').replace(/^#!.*/, '');
// `parse` of the package jsonc-parser; the names are those of the minifier.
const declaration = /function ([\w$]+)\(\w+,\w+=\[\],\w+=[\w$]+\.DEFAULT\)\{let \w+=null,\w+=\[\],\w+=\[\];/;
const name = declaration.exec(source)[1];

// The bundle runs the command line when it is loaded.
process.argv = [process.argv[0], path, '--version'];
const { exit } = process;
const { log } = console;
process.exit = () => {};
console.log = () => {};
const bundle = new Module(path);
bundle.filename = path;
bundle._compile(`${source};module.exports=${name};`, path);
console.log = log;
process.exit = exit;

const read = (text) => {
    const value = bundle.exports(text);
    return value === undefined ? null : [value];
};
const values = JSON.stringify(JSON.parse(fs.readFileSync(0, 'utf8')).map(read));
// Half a surrogate pair is no character elsewhere.
process.stdout.write(values.replace(/(\\\\)|\\ud[89a-f][0-9a-f]{2}/g, (_, backslash) => backslash ?? '\\ufffd'));
