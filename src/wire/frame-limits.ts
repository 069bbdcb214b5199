import { controlFrameBytesMax, frameBytesMax, preHelloBytesMax } from '../base/limits.js';
import type { FrameLimits } from './frame-decoder.js';
import { methods } from './methods.js';

/** The largest frame of a method: what its size class allows. */
export function methodFrameBytesMax(method: number): number {
  return methods.get(method)?.size === 'data' ? frameBytesMax : controlFrameBytesMax;
}

/** Until the hello is through. */
export const helloLimits: FrameLimits = {
  anyMethodMax: preHelloBytesMax,
  ofMethod: () => preHelloBytesMax,
};

/** After it. */
export const openLimits: FrameLimits = {
  anyMethodMax: controlFrameBytesMax,
  ofMethod: methodFrameBytesMax,
};
