// The Node.js process inside a "container": loads one action and runs its activations, as OpenWhisk's
// Node.js runtime does. Started by starter.py with three file descriptors: where requests come from
// (lines of JSON), where answers go, and a file with the request that initialises, its archive
// already unpacked into this folder.
//
// An answer is a line: the memory used in bytes, "!" if it is an error, "#" and the activation's id,
// a blank, JSON. Several requests may be running at once; the server decides how many.
'use strict';

const fs = require('fs');
const net = require('net');
const path = require('path');
const vm = require('vm');
const { createRequire } = require('module');

const NO_MAIN_FILE = 'Zipped actions must contain either package.json or index.js at the root.';
const NO_OBJECT = 'The action did not return a dictionary or array.';
const WRITE_AGAIN = 'EAGAIN';

const [requests, answers, initial] = process.argv.slice(2, 5).map(Number);
process.argv.length = 2;

function write(text) {
  let data = Buffer.from(text, 'utf8');
  while (data.length > 0) {
    try {
      data = data.subarray(fs.writeSync(answers, data));
    } catch (problem) {
      if (problem.code !== WRITE_AGAIN) process.exit(1);
    }
  }
}

// What was logged may still wait for room in its pipe, and belongs to the activation that ends here.
function logged(stream) {
  if (!stream.writableLength || stream.writableEnded || stream.destroyed) return undefined;
  return new Promise((resolve) => { stream.write('', () => resolve()); });
}

async function answerLogged(id, value, failed) {
  const waiting = [process.stdout, process.stderr].map(logged).filter(Boolean);
  if (waiting.length > 0) await Promise.all(waiting);
  answer(id, value, failed);
}

function answer(id, value, failed) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (problem) { // circular, or a BigInt
    console.error(problem);
    failed = true;
    text = JSON.stringify({ error: 'Internal error.' });
  }
  write(`${process.memoryUsage.rss()}${failed ? '!' : ''}#${id} ${text}\n`);
}

function handlerOfText(code, main) {
  const source = `(function (exports, require, module, __filename, __dirname) { return (function () {${code}
  try { return ${main} } catch (problem) {
    if (problem instanceof ReferenceError) return module.exports.${main} || exports.${main};
    throw problem;
  } }).call(globalThis) })`;
  const file = path.resolve('action.js');
  const module_ = { exports: {} };
  const load = vm.runInThisContext(source, {
    filename: file,
    importModuleDynamically: vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  return load(module_.exports, createRequire(file), module_, file, path.dirname(file));
}

function handlerOfFolder(main) {
  const dot = main.indexOf('.'); // "file.function", or only a function of the package
  const [file, name] = dot > 0 ? [main.slice(0, dot), main.slice(dot + 1)] : [undefined, main];
  if (file === undefined && !fs.existsSync('package.json') && !fs.existsSync('index.js')) throw NO_MAIN_FILE;
  const folder = process.cwd();
  const loaded = createRequire(path.join(folder, 'x'))(file === undefined ? folder : path.join(folder, file));
  return name.split('.').reduce((value, part) => value[part], loaded);
}

function load(init) {
  if (!init.code || !init.main) throw { answer: 'Missing main/no code to execute.' };
  if (init.problem) throw init.problem;
  const handler = init.binary ? handlerOfFolder(init.main) : handlerOfText(init.code, init.main);
  if (typeof handler !== 'function') throw `Action entrypoint '${init.main}' is not a function.`;
  return handler;
}

// The stack of an Error without the line of code that a SyntaxError shows above it; else the value.
function stackOf(problem) {
  if (!problem || !problem.stack) return problem;
  return problem.stack.slice(Math.max(0, problem.stack.indexOf(`${problem.name}: `)));
}

// What was thrown or rejected, as JSON can say it: an Error has no enumerable fields of its own.
function told(value, above = []) {
  if (typeof value === 'function') return `[Function: ${value.name || 'anonymous'}]`;
  if (value === null || typeof value !== 'object') return value;
  const found = Array.isArray(value) ? [] : {};
  const seen = [...above, value];
  for (const [key, item] of Object.entries(value)) {
    if (typeof item === 'function') continue;
    found[key] = seen.includes(item) ? '[Circular]' : told(item, seen);
  }
  for (const key of ['name', 'message', 'stack', 'code']) {
    if (typeof value[key] === 'string') found[key] = value[key];
  }
  return found;
}

function run(handler, request) {
  const { value, ...context } = request;
  for (const [key, text] of Object.entries(context)) process.env[`__OW_${key.toUpperCase()}`] = text;
  const id = context.activation_id;
  let result;
  try {
    result = handler(value);
  } catch (problem) { // what is thrown at once is the developer's; what is rejected is a result
    console.error(problem);
    answerLogged(id, { error: `An error has occurred: ${problem}` }, true);
    return;
  }
  Promise.resolve(result).then(
    (end) => end === undefined ? {} : end,
    (problem) => ({ error: problem ? told(problem) : {} }),
  ).then((end) => {
    if (typeof end === 'object') return answerLogged(id, end, false);
    console.error(`Result must be of type object but has type "${typeof end}":`, end);
    return answerLogged(id, { error: NO_OBJECT }, true);
  });
}

function serve(handler) {
  let rest = [];
  const input = new net.Socket({ fd: requests, readable: true, writable: false });
  input.on('data', (data) => {
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      rest.push(data.subarray(0, end));
      data = data.subarray(end + 1);
      const line = Buffer.concat(rest).toString('utf8');
      rest = [];
      run(handler, JSON.parse(line));
    }
    if (data.length > 0) rest.push(data);
  });
  input.on('close', () => process.exit(0)); // the server is gone
}

async function main() {
  const init = JSON.parse(fs.readFileSync(initial, 'utf8'));
  fs.closeSync(initial);
  let handler;
  try {
    handler = load(init);
  } catch (problem) {
    let text = problem && problem.answer;
    if (!text) {
      console.error('Error during initialization:', problem);
      text = `Initialization has failed due to: ${stackOf(problem)}`;
    }
    await answerLogged('', { error: text }, true);
    process.exit(1);
  }
  serve(handler);
  answer('', { ok: true }, false);
}

main();
