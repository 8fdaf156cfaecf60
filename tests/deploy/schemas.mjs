// Values held against the JSON Schemas of a document.

import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const escape = (step) => step.replaceAll('~', '~0').replaceAll('/', '~1');

/** The schemas of one document, found by their way in it. */
export class Schemas {
  #ajv = new Ajv({ strict: false, allErrors: true });
  #known = {};

  /** `more` is laid over each schema that is asked for. */
  constructor(document, more = {}) {
    this.more = more;
    addFormats(this.#ajv);
    this.#ajv.addFormat('int32', true).addFormat('int64', true);
    this.#ajv.addSchema(document, 'document');
  }

  /** What is wrong with the value by the schema at this place, in words; nothing if it is right. */
  complaint(way, value) {
    const place = encodeURI(`document#${way.map((step) => `/${escape(step)}`).join('')}`);
    this.#known[place] ??= this.#ajv.compile({ $ref: place, ...this.more });
    const validate = this.#known[place];
    return validate(value) ? undefined : `${this.#ajv.errorsText(validate.errors)} in ${JSON.stringify(value).slice(0, 500)}`;
  }
}

/** A copy in which objects have no fields but those described, so that one which is not in the document is found. */
export function closed(schema, open = []) {
  if (Array.isArray(schema)) return schema.map((item) => closed(item, open));
  if (schema === null || typeof schema !== 'object') return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, open.includes(key) ? value : closed(value, open)]));
  return copy.type === 'object' && copy.properties ? { ...copy, additionalProperties: false } : copy;
}
