// Calls every method of npm's openwhisk on the server of $APIHOST with the key $API_KEY and prints as JSON what each gave.
'use strict'

const openwhisk = require('openwhisk')

const settings = { apihost: process.env.APIHOST, api_key: process.env.API_KEY }
const used = new Set()
const told = {}

// Notes which methods are called.
const watched = (groups) => Object.fromEntries(Object.entries(groups).map(([group, methods]) => [
  group,
  new Proxy(methods, {
    get (target, name) {
      if (typeof target[name] === 'function') used.add(`${group}.${String(name)}`)
      return target[name]
    }
  })
]))

const ow = watched(openwhisk(settings))
const error = (promise) => promise.then(
  () => ({}),
  (problem) => ({ name: problem.name, status: problem.statusCode, message: problem.message, body: problem.error }))
const until = async (ask) => {
  for (const end = Date.now() + 20000; ;) {
    try {
      return await ask()
    } catch (problem) {
      if (Date.now() > end) throw problem
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

const code = (body) => ({ kind: 'python:3', action: `def main(args):\n    ${body}\n` })

async function actions () {
  const steps = told.actions = {}
  steps.created = await ow.actions.create({
    name: 'echo', ...code('return args'), params: { stored: 1 }, annotations: { owner: 'us' }, limits: { timeout: 10000 }
  })
  steps.again = await error(ow.actions.create({ name: 'echo', ...code('return args') }))
  steps.updated = await ow.actions.update({ name: 'echo', ...code('return {**args, "new": True}') })
  steps.got = await ow.actions.get('echo')
  steps.bare = await ow.actions.get({ name: 'echo', code: false })
  steps.accepted = await ow.actions.invoke({ name: 'echo', params: { a: 1 } })
  steps.record = await ow.actions.invoke({ name: 'echo', blocking: true, params: { a: 1 } })
  steps.result = await ow.actions.invoke({ name: '/_/echo', blocking: true, result: true, params: { a: 'ü' } })
  await ow.actions.create({ name: 'fails', ...code('return {"error": "broken"}') })
  steps.failed = await error(ow.actions.invoke({ name: 'fails', blocking: true, result: true }))
  steps.missing = await error(ow.actions.get('missing'))
  await ow.actions.create({ name: 'both', sequence: ['/_/echo', '/_/echo'] })
  steps.sequence = await ow.actions.invoke({ name: 'both', blocking: true, result: true, params: { b: 2 } })
  steps.listed = await ow.actions.list({ limit: 2, skip: 1 })
  steps.counted = await ow.actions.list({ count: true })
  steps.many = await ow.actions.get(['echo', 'both'])
  steps.deleted = await ow.actions.delete('fails')
  const big = await ow.actions.create({ name: 'zip', kind: 'python:3', action: Buffer.from(process.env.ZIP, 'base64') })
  steps.zip = { binary: big.exec.binary, result: await ow.actions.invoke({ name: 'zip', blocking: true, result: true }) }
}

async function activations () {
  const steps = told.activations = {}
  const { activationId } = await ow.actions.invoke({ name: 'echo', blocking: true, params: { c: 3 } })
  steps.got = await until(() => ow.activations.get(activationId))
  steps.result = await ow.activations.result({ activationId })
  steps.logs = await ow.activations.logs({ name: activationId })
  steps.listed = await ow.activations.list({ limit: 1, name: 'echo', docs: true, since: steps.got.start })
  steps.counted = await ow.activations.list({ count: true, name: 'echo' })
  steps.missing = await error(ow.activations.get('0'.repeat(32)))
}

async function namespaces () {
  told.namespaces = { listed: await ow.namespaces.list(), got: await ow.namespaces.get() }
}

async function packages () {
  const steps = told.packages = {}
  steps.created = await ow.packages.create({ name: 'tools', annotations: { owner: 'us' } })
  const parameters = [{ key: 'unit', value: 'm' }]
  steps.updated = await ow.packages.update({ name: 'tools', package: { parameters, publish: true } })
  await ow.actions.create({ name: 'tools/echo', ...code('return args') })
  await ow.packages.create({ name: 'bound', package: { binding: { namespace: '_', name: 'tools' } } })
  steps.bound = await ow.actions.invoke({ name: 'bound/echo', blocking: true, result: true })
  steps.got = await ow.packages.get({ packageName: 'tools' })
  steps.system = await ow.packages.get('/whisk.system/utils')
  steps.listed = await ow.packages.list({ limit: 10, skip: 0, public: true })
  steps.full = await error(ow.packages.delete('tools'))
  steps.deleted = await ow.packages.delete('bound')
}

async function triggersAndRules () {
  const triggers = told.triggers = {}
  const rules = told.rules = {}
  triggers.created = await ow.triggers.create({ name: 'tick', trigger: { parameters: [{ key: 'source', value: 'clock' }] } })
  triggers.unheard = await ow.triggers.invoke({ name: 'tick' })
  triggers.updated = await ow.triggers.update({ name: 'tick', annotations: { owner: 'us' } })
  rules.created = await ow.rules.create({ name: 'each', action: 'echo', trigger: '/_/tick' })
  triggers.fired = await ow.triggers.invoke({ name: 'tick', params: { d: 4 } })
  triggers.record = await until(() => ow.activations.get(triggers.fired.activationId))
  rules.disabled = await ow.rules.disable({ name: 'each' })
  rules.got = await ow.rules.get({ ruleName: 'each' })
  rules.enabled = await ow.rules.enable({ name: 'each' })
  rules.updated = await ow.rules.update({ name: 'each', action: 'both', trigger: 'tick' })
  rules.listed = await ow.rules.list({ limit: 5 })
  triggers.got = await ow.triggers.get('tick')
  triggers.listed = await ow.triggers.list({ count: true })
  rules.deleted = await ow.rules.delete('each')
  triggers.deleted = await ow.triggers.delete('tick')
}

async function feeds () {
  const steps = told.feeds = {}
  await ow.triggers.create({ name: 'tock', trigger: { annotations: [{ key: 'feed', value: '/_/feed' }] } })
  await ow.actions.create({ name: 'feed', ...code('return args'), annotations: { feed: true } })
  for (const method of ['create', 'get', 'update', 'delete']) {
    const record = await ow.feeds[method]({ name: 'feed', trigger: 'tock', params: { every: 5 } })
    steps[method] = record.response.result
  }
}

async function routes () {
  const steps = told.routes = {}
  steps.create = await error(ow.routes.create({ relpath: '/a', operation: 'GET', action: 'echo' }))
  steps.list = await error(ow.routes.list())
  steps.get = await error(ow.routes.get({ basepath: '/' }))
  steps.delete = await error(ow.routes.delete({ basepath: '/' }))
}

async function others () {
  const wrong = openwhisk({ ...settings, api_key: 'guest:wrong', namespace: 'guest' })
  const handled = openwhisk({
    apihost: settings.apihost,
    namespace: 'guest',
    retry: { retries: 1, minTimeout: 1 },
    auth_handler: { getAuthHeader: async () => `Basic ${Buffer.from(settings.api_key).toString('base64')}` }
  })
  told.others = { wrong: await error(wrong.namespaces.list()), handled: await handled.actions.list({ count: true }) }
}

async function main () {
  for (const part of [actions, activations, namespaces, packages, triggersAndRules, feeds, routes, others]) await part()
  console.log(JSON.stringify({ ...told, used: [...used].sort() }))
}

main().catch((problem) => {
  console.error(problem)
  process.exit(1)
})
