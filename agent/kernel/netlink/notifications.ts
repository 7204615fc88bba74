/**
 * The kernel's own news of one namespace: that a link, address, route, neighbour or forwarding entry changed. It says
 * that a table is to be listed again; what it says of the change is only a hint.
 */
import { Errno } from '../errno.js';
import { pollReadable, recvDontWait, setsockoptInt } from '../ffi.js';
import { checked, KernelError } from '../kernel-error.js';
import { NLMSG_OVERRUN, readMessages } from './message.js';
import { openRouteSocket, type NetnsOptions } from './socket.js';

const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
/** Small enough not to hoard memory in every namespace, large enough for a few thousand changes at once. */
const RECEIVE_BUFFER = 1024 * 1024;
const DATAGRAM = 64 * 1024;
/** Datagrams read before other work gets its turn. */
const DATAGRAMS_PER_TURN = 256;

/** RTNLGRP_...; forwarding entries are told to the neighbours' group. */
const GROUPS = { link: 1, neighbour: 3, address4: 5, route4: 7, address6: 9, route6: 11 } as const;

/** A kind of news. */
export type NotificationGroup = keyof typeof GROUPS;

/** Every kind. */
export const NOTIFICATION_GROUPS = Object.keys(GROUPS) as readonly NotificationGroup[];

/** One piece of news. */
export type Notification =
  | {
      readonly overrun: false;
      /** RTM_NEW... or RTM_DEL... */
      readonly type: number;
      /** For the `decode...` of its kind; the receiver may keep it. */
      readonly body: Buffer;
    }
  /** News was lost: list everything again. */
  | { readonly overrun: true };

/** Where to listen, and to what. */
export interface SubscribeOptions extends NetnsOptions {
  readonly groups: readonly NotificationGroup[];
}

/**
 * Calls `onNotify` from the event loop for each piece of news, until disposed; does not keep the process alive.
 * `onError` is called once, and the subscription over, when the socket fails. Equivalent to `ip monitor`. Throws KernelError.
 */
export function subscribe(
  { groups, netns }: SubscribeOptions,
  onNotify: (notification: Notification) => void,
  onError: (error: unknown) => void,
): Disposable {
  const descriptor = openRouteSocket({ netns }, RECEIVE_BUFFER);
  const buffer = Buffer.alloc(DATAGRAM);
  let poll: Disposable | undefined;
  let disposed = false;
  const dispose = (): void => {
    disposed = true;
    poll?.[Symbol.dispose](); // before the descriptor: libuv must not watch a number that means something else by then
    descriptor[Symbol.dispose]();
  };
  const drain = (): void => {
    try {
      for (let turn = 0; turn < DATAGRAMS_PER_TURN; turn++) {
        // A callback may have ended this subscription.
        if (isDisposed()) return;
        const received = recvDontWait(descriptor.fd, buffer);
        if (received === -Errno.EAGAIN) return;
        if (received === -Errno.EINTR) continue;
        if (received === -Errno.ENOBUFS || received > buffer.length) {
          onNotify({ overrun: true });
          continue;
        }
        if (received < 0) throw new KernelError('receive notifications', -received);
        // A copy, which the receiver may keep.
        for (const { type, body } of readMessages(Buffer.from(buffer.subarray(0, received)))) {
          if (isDisposed()) return;
          onNotify(type === NLMSG_OVERRUN ? { overrun: true } : { overrun: false, type, body });
        }
      }
    } catch (error) {
      dispose();
      onError(error);
    }
  };
  const isDisposed = (): boolean => disposed;
  try {
    for (const group of groups) {
      checked(
        `subscribe to ${group}`,
        setsockoptInt(descriptor.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, GROUPS[group]),
      );
    }
    poll = pollReadable(descriptor.fd, drain);
  } catch (error) {
    dispose();
    throw error;
  }
  return { [Symbol.dispose]: dispose };
}
