// deploy/kubernetes: every manifest by the schemas of Kubernetes, and what the manifests say of each other and of the server. Applying them needs a cluster.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import { parse, parseAllDocuments } from 'yaml';
import { DockerfileParser } from 'dockerfile-ast';
import { ROOT, read } from './program.mjs';
import { fromWheel } from './wheels.mjs';

const FOLDER = 'deploy/kubernetes';
/** As Kubernetes reads it: 0440 is octal there. */
const YAML = { version: '1.1' };
/** The oldest that knows all that is used, and the newest there is a schema of. */
const VERSIONS = ['1.30.0', '1.37.0'];

const kustomization = parse(read(`${FOLDER}/kustomization.yaml`), YAML);
const manifests = kustomization.resources.flatMap((file) => parseAllDocuments(read(`${FOLDER}/${file}`), YAML).map((document) => document.toJS()));
const one = (kind) => {
  const found = manifests.filter((manifest) => manifest.kind === kind);
  assert.equal(found.length, 1, kind);
  return found[0];
};
const deployment = one('Deployment');
const pod = deployment.spec.template;
const [container] = pod.spec.containers;
const shutdownSeconds = Number(read('.env.example').match(/^#SHUTDOWN_TIMEOUT=(\d+)s$/m)[1]);

/** The schema of a manifest, by its name in the package. */
function schemaName({ apiVersion, kind }) {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  return [kind, group.split('.')[0], version].filter(Boolean).join('-').toLowerCase();
}

for (const version of VERSIONS) {
  test(`every manifest is what Kubernetes ${version} takes, without a field that it does not know`, () => {
    const names = ['_definitions', ...new Set(manifests.map(schemaName))];
    const paths = names.map((name) => `kubernetes_validate/kubernetes-json-schema/v${version}-local-strict/${name}.json`);
    const ajv = new Ajv({ strict: false, logger: false, validateFormats: false });
    for (const [i, text] of fromWheel('kubernetes_validate', ...paths).entries()) ajv.addSchema(JSON.parse(text), `${names[i]}.json`);
    const refusal = (manifest) => {
      const validate = ajv.getSchema(`${schemaName(manifest)}.json`);
      return validate(manifest) ? undefined : JSON.stringify(validate.errors);
    };
    for (const manifest of manifests) assert.equal(refusal(manifest), undefined, manifest.kind);
    // So it would be found.
    const wrong = structuredClone(deployment);
    wrong.spec.template.spec.containers[0].readinesProbe = {};
    assert.match(refusal(wrong), /readinesProbe/);
  });
}

test('the kustomization takes every manifest of the folder', () => {
  const files = readdirSync(join(ROOT, FOLDER)).filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml');
  assert.deepEqual([...kustomization.resources].sort(), files.sort());
  assert.deepEqual(kustomization.images.map(({ name }) => name), [container.image]);
});

test('what one manifest calls another by, the other has', () => {
  const labels = pod.metadata.labels;
  const selectors = [
    deployment.spec.selector.matchLabels, one('Service').spec.selector, one('PodDisruptionBudget').spec.selector.matchLabels,
    one('NetworkPolicy').spec.podSelector.matchLabels,
  ];
  for (const selector of selectors) assert.deepEqual(selector, labels);
  const ports = container.ports.map(({ name }) => name);
  const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe].map(({ httpGet }) => httpGet.port);
  const letIn = one('NetworkPolicy').spec.ingress.flatMap((rule) => rule.ports.map(({ port }) => port));
  const called = [...probes, ...one('Service').spec.ports.map(({ targetPort }) => targetPort), ...letIn];
  for (const port of called) assert.ok(ports.includes(port), port);
  const { backend } = one('Ingress').spec.rules[0].http.paths[0];
  assert.equal(backend.service.name, one('Service').metadata.name);
  assert.ok(one('Service').spec.ports.some(({ name }) => name === backend.service.port.name));
  assert.deepEqual(container.envFrom.map(({ configMapRef }) => configMapRef.name), [one('ConfigMap').metadata.name]);
  const [mount] = container.volumeMounts;
  assert.deepEqual(pod.spec.volumes.map(({ name }) => name), [mount.name]);
  for (const { name, value } of container.env) {
    assert.match(name, /_FILE$/);
    assert.ok(value.startsWith(`${mount.mountPath}/`), value);
    assert.ok(read('deploy/make-secrets').includes(`make ${value.slice(mount.mountPath.length + 1)} `), value);
  }
  const [{ hosts }] = one('Ingress').spec.tls;
  assert.deepEqual(hosts, one('Ingress').spec.rules.map(({ host }) => host));
  assert.equal(one('ConfigMap').data.CORS_ORIGIN, `https://${hosts[0]}`);
});

test('the secrets that are not everybody\'s can be given by what stands there as a comment', () => {
  const text = read(`${FOLDER}/deployment.yaml`).replace(/^( +)#(- name: \w+_FILE|  value: )/gm, '$1$2');
  const { env } = parse(text, YAML).spec.template.spec.containers[0];
  const [{ mountPath }] = container.volumeMounts;
  for (const name of ['JWT_PREVIOUS_SECRETS', 'REDIS_URL', 'TURN_SECRET']) {
    assert.equal(env.find((one) => one.name === `${name}_FILE`)?.value, `${mountPath}/${name.toLowerCase()}`);
  }
});

test('what several pods need beside Redis stands there as a comment: the way to it, and stickiness', () => {
  const uncommented = (file) => parse(read(`${FOLDER}/${file}`).replace(/^( +)#(- |  +- |nginx\.)/gm, '$1$2'), YAML);
  const ports = uncommented('network.yaml').spec.egress.flatMap((rule) => rule.ports.map(({ port }) => port));
  assert.deepEqual(ports, [...one('NetworkPolicy').spec.egress.flatMap((rule) => rule.ports.map(({ port }) => port)), 6379]);
  const { annotations } = uncommented('ingress.yaml').metadata;
  const added = Object.entries(annotations).filter(([name]) => !(name in one('Ingress').metadata.annotations));
  assert.deepEqual(Object.fromEntries(added.map(([name, value]) => [name.replace('nginx.ingress.kubernetes.io/', ''), value])), {
    affinity: 'cookie', 'affinity-mode': 'persistent', 'session-cookie-name': 'video_call_node', 'session-cookie-path': '/',
    'session-cookie-secure': 'true', 'session-cookie-samesite': 'Lax',
  });
});

test('Prometheus reaches the metrics, at a port that the ingress does not lead to, and finds them by what the page says', () => {
  const port = container.ports.find(({ name }) => name === 'metrics');
  assert.equal(one('ConfigMap').data.METRICS_ADDR, `0.0.0.0:${port.containerPort}`);
  const rules = one('NetworkPolicy').spec.ingress;
  assert.equal(rules.length, 2);
  for (const { from, ports } of rules) {
    const namespace = from[0].namespaceSelector.matchLabels['kubernetes.io/metadata.name'];
    assert.deepEqual(ports, [{ port: namespace === 'monitoring' ? 'metrics' : 'http' }], namespace);
  }
  const service = one('Service');
  assert.ok(service.spec.ports.some(({ name, targetPort }) => name === 'metrics' && targetPort === 'metrics'));
  const [, text] = read('docs/deployment.md').match(/^ *```yaml\n( *apiVersion: monitoring\.coreos\.com.*?)^ *```/ms);
  const monitor = parse(text, YAML);
  assert.equal(monitor.kind, 'ServiceMonitor');
  assert.deepEqual(monitor.spec.selector.matchLabels, service.metadata.labels);
  assert.deepEqual(monitor.spec.endpoints.map((endpoint) => endpoint.port), ['metrics']);
  // Its job is the name of the Service, and the alerts ask for that.
  assert.ok(read('deploy/prometheus/alerts.yml').includes(`up{job="${service.metadata.name}"}`));
});

test('as it stands, one server at a time, and another one is ready before it is told to end', () => {
  assert.equal(deployment.spec.replicas, 1);
  assert.deepEqual(deployment.spec.strategy, { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } });
  assert.equal(one('PodDisruptionBudget').spec.minAvailable, 1);
  assert.equal(container.startupProbe.httpGet.path, '/health/ready');
  assert.equal(container.readinessProbe.httpGet.path, '/health/ready');
  assert.equal(container.livenessProbe.httpGet.path, '/health/live');
});

test('the server has the time to end its calls', () => {
  assert.equal(one('ConfigMap').data.SHUTDOWN_TIMEOUT, `${shutdownSeconds}s`);
  const waits = container.lifecycle.preStop.sleep.seconds;
  assert.ok(pod.spec.terminationGracePeriodSeconds >= waits + shutdownSeconds + 5);
});

test('the container is the image, and may do no more than it needs', () => {
  const image = DockerfileParser.parse(read('Dockerfile')).getInstructions();
  const last = (keyword) => image.filter((instruction) => instruction.getKeyword() === keyword).at(-1).getArgumentsContent();
  assert.equal(`${pod.spec.securityContext.runAsUser}:${pod.spec.securityContext.runAsGroup}`, last('USER'));
  assert.equal(String(container.ports[0].containerPort), last('EXPOSE'));
  assert.equal(pod.spec.securityContext.runAsNonRoot, true);
  assert.deepEqual(pod.spec.securityContext.seccompProfile, { type: 'RuntimeDefault' });
  assert.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] },
  });
  assert.equal(pod.spec.automountServiceAccountToken, false);
  // The secret's files belong to the group that the server is in.
  assert.equal(pod.spec.securityContext.fsGroup, pod.spec.securityContext.runAsGroup);
  assert.equal(pod.spec.volumes[0].secret.defaultMode, 0o440);
});

test('the ingress leaves open what is silent for as long as a heartbeat may take', () => {
  const seconds = (name) => Number(read('.env.example').match(new RegExp(`^#${name}=(\\d+)s$`, 'm'))[1]);
  const annotations = one('Ingress').metadata.annotations;
  for (const name of ['proxy-read-timeout', 'proxy-send-timeout']) {
    assert.ok(Number(annotations[`nginx.ingress.kubernetes.io/${name}`]) >= 2 * (seconds('PING_INTERVAL') + seconds('PING_TIMEOUT')), name);
  }
});
