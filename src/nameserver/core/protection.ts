import type { Service } from './place.js';

/** A service of fewer instances is never protected: one that is suspect may be most of it. */
const protectedMin = 3;

/**
 * Protection: when the healthy part of a service falls below half, more likely we see badly than so many died. Its
 * instances are all served then, flagged, with their true health kept. It ends when half of what is left is healthy
 * again; a service that wasn't healthy before isn't protected. What was deregistered doesn't count, since it lowers
 * both numbers.
 */
export function updateProtection(service: Service): boolean {
  const isHealthy = service.healthy * 2 >= service.shown;
  let isProtected = service.isProtected;
  if (isHealthy || service.shown < protectedMin) isProtected = false;
  else if (service.wasHealthy) isProtected = true;
  service.wasHealthy = isHealthy && service.shown > 0;
  if (isProtected === service.isProtected) return false;
  service.isProtected = isProtected;
  return true;
}
