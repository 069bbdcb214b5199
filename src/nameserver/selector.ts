/**
 * Selectors: which instances of a service somebody wants. Pure.
 *
 *     selector = term { "," term }
 *     term     = key "=" value | key "!=" value | key " in " "(" value { "," value } ")" | key | "!" key
 *
 * All terms must hold. A key is a metadata key, but for two: `zone` is the instance's zone, and `tag` its tags, of which
 * it may have many: `tag=gpu` holds when one of them is `gpu`. `!=` also holds for whoever hasn't the key at all, and a
 * key alone for whoever has it. Blanks around keys, values and signs don't count.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import type { InstanceClaim } from './instance.js';

export const selectorBytesMax = 256;
export const selectorTermsMax = 16;

const key = '[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}';
const value = '[A-Za-z0-9_./:@+-]{1,128}';
const setTerm: RegExp = new RegExp(`^\\s*(${key})\\s+in\\s*\\(([^()]*)\\)\\s*$`);
const valueTerm: RegExp = new RegExp(`^\\s*(${key})\\s*(!?=)\\s*(${value})\\s*$`);
const keyTerm: RegExp = new RegExp(`^\\s*(!?)\\s*(${key})\\s*$`);
const wholeValue: RegExp = new RegExp(`^${value}$`);

interface Term {
  readonly key: string;
  /** One of them must be there; undefined: any value. */
  readonly values: readonly string[] | undefined;
  readonly isNegated: boolean;
}

export class Selector {
  readonly #terms: readonly Term[];

  private constructor(terms: readonly Term[]) {
    this.#terms = terms;
  }

  /**
   * Parses a selector; undefined for the empty one, which every instance matches. INVALID names the term that is wrong
   * and the forms there are; QUOTA names the limit.
   */
  static parse(text: string): Selector | undefined {
    if (text.trim() === '') return undefined;
    if (Buffer.byteLength(text) > selectorBytesMax) {
      throw quota(`a selector has at most ${selectorBytesMax} bytes, not ${Buffer.byteLength(text)}`);
    }
    const terms = splitTerms(text);
    if (terms.length > selectorTermsMax) {
      throw quota(`a selector has at most ${selectorTermsMax} terms, not ${terms.length}`);
    }
    return new Selector(terms.map(parseTerm));
  }

  matches(claim: InstanceClaim): boolean {
    for (const term of this.#terms) if (holds(term, claim) === term.isNegated) return false;
    return true;
  }
}

/** At the commas outside of brackets. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let begin = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === ',' && depth === 0) {
      terms.push(text.slice(begin, at));
      begin = at + 1;
    }
  }
  terms.push(text.slice(begin));
  return terms;
}

function parseTerm(text: string): Term {
  const set = setTerm.exec(text);
  if (set !== null) {
    const values = set[2]!.split(',').map((each) => each.trim());
    if (values.every((each) => wholeValue.test(each))) return { key: set[1]!, values, isNegated: false };
  }
  const single = valueTerm.exec(text);
  if (single !== null) return { key: single[1]!, values: [single[3]!], isNegated: single[2] === '!=' };
  const alone = keyTerm.exec(text);
  if (alone !== null) return { key: alone[2]!, values: undefined, isNegated: alone[1] === '!' };
  throw new TaskdError(
    ErrorCode.INVALID,
    `${JSON.stringify(text.trim())} is no term of a selector: write key=value, key!=value, key in (a,b), key or !key, ` +
      'with letters, digits and ._/-:@+',
  );
}

function holds({ key, values }: Term, claim: InstanceClaim): boolean {
  if (key === 'tag') {
    return values === undefined ? claim.tags.length > 0 : claim.tags.some((tag) => values.includes(tag));
  }
  const { metadata } = claim;
  const found = key === 'zone' ? claim.zone : Object.hasOwn(metadata, key) ? metadata[key] : undefined;
  if (values === undefined) return key === 'zone' ? found !== '' : found !== undefined;
  return found !== undefined && values.includes(found);
}

function quota(message: string): TaskdError {
  return new TaskdError(ErrorCode.QUOTA, `${message}; ask for more than you need and choose among it`);
}
