// CQL by others: translates eight.cql and runs it with cql-execution over patients, one by one.
//
//   node oracle.mjs PACKAGES VALUE-SETS.json AS-OF ANSWERS.ndjson < patients.ndjson
//
// PACKAGES is the folder in which the packages of package.json are installed. VALUE-SETS.json maps a value
// set's name to its codes. Each input line is a Bundle; each line of the answers is one JSON object, the
// definitions of one patient in order of input ({"id": ..., "I1": true | false | null, ...}); the last
// holds times in milliseconds. Standard output is the translator's own: it logs there.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [packages, valueSetFile, asOf, answerFile] = process.argv.slice(2);
const installed = join(resolve(packages), 'node_modules');
const require = createRequire(join(installed, 'oracle.cjs'));
const here = dirname(fileURLToPath(import.meta.url));
const DEFINITIONS = ['I1', 'I2', 'I3', 'I4', 'E5', 'E6', 'E7', 'E8'];

const text = (name) => readFileSync(join(here, name), 'utf8');

async function translator() {
  const module = join(installed, '@cqframework', 'cql', 'cql-to-elm.mjs');
  const cql = await import(pathToFileURL(module));
  const units = require('@lhncbc/ucum-lhc').UcumLhcUtils.getInstance();
  const unsupported = () => {
    throw new Error('no arithmetic on units while translating');
  };
  const validate = (unit) => {
    const found = units.validateUnitString(unit);
    return found.status === 'valid' ? null : found.msg.join('; ');
  };
  const models = new cql.ModelManager();
  models.modelInfoLoader.registerModelInfoProvider(
    cql.createModelInfoProvider((name) => {
      if (name === 'System') return cql.stringAsSource(text('system.xml'));
      const model = 'cql-exec-fhir/lib/modelInfos/fhir-modelinfo-4.0.1.xml';
      return cql.stringAsSource(readFileSync(join(installed, model), 'utf8'));
    }),
  );
  const service = cql.createUcumService(unsupported, validate, unsupported, unsupported);
  const libraries = new cql.LibraryManager(models, undefined, undefined, service);
  libraries.librarySourceLoader.registerProvider(
    cql.createLibrarySourceProvider((name) =>
      name === 'FHIRHelpers' ? cql.stringAsSource(text('fhir-helpers.cql')) : null,
    ),
  );
  return (source) => {
    const made = cql.CqlTranslator.fromText(source, libraries);
    const errors = made.errors.asJsReadonlyArrayView();
    if (errors.length > 0) {
      throw new Error(errors.map((one) => one.message).join('\n'));
    }
    return JSON.parse(made.toJson());
  };
}

function codeService(cql, sets) {
  const found = {};
  for (const [name, codes] of Object.entries(sets)) found[name] = { 1: codes };
  return new cql.CodeService(found);
}

async function main() {
  const begun = performance.now();
  const translate = await translator();
  const helpers = translate(text('fhir-helpers.cql'));
  const eight = translate(text('eight.cql'));
  const translated = performance.now() - begun;
  const cql = require('cql-execution');
  const fhir = require('cql-exec-fhir');
  const library = new cql.Library(eight, new cql.Repository({ FHIRHelpers: helpers }));
  const sets = JSON.parse(readFileSync(valueSetFile, 'utf8'));
  const moment = cql.DateTime.parse(asOf);
  const executor = new cql.Executor(library, codeService(cql, sets), { AsOf: moment });
  const source = fhir.PatientSource.FHIRv401(); // one: each new one parses the model again
  const spent = [];
  let cpu = 0;
  const answers = [];
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  for await (const line of lines) {
    const bundle = JSON.parse(line);
    const start = performance.now();
    const used = process.cpuUsage();
    source.loadBundles([bundle]);
    const results = await executor.exec(source, moment);
    spent.push(performance.now() - start);
    const more = process.cpuUsage(used);
    cpu += (more.user + more.system) / 1000;
    source.reset();
    for (const [id, found] of Object.entries(results.patientResults)) {
      const row = Object.fromEntries(DEFINITIONS.map((name) => [name, found[name] ?? null]));
      answers.push({ id, ...row });
    }
  }
  const memory = process.resourceUsage().maxRSS / 1024;
  answers.push({ translated, spent, cpu, memory });
  writeFileSync(answerFile, answers.map((one) => JSON.stringify(one)).join('\n'));
}

await main();
