/** TLS to an etcd server: whom to believe, who we are, and that the server is the one that was meant. */
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { Channel, credentials, type ChannelOptions } from '@grpc/grpc-js';

/** PEM texts: whom to believe, and who we are. Weft never speaks to etcd in clear. */
export interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * What a server at an address is called on the wire, where names that are addresses are not permitted (RFC 6066; Node
 * warns of gRPC's on stderr, which is our log). It is nobody's name (RFC 2606): etcd has one certificate and does not
 * look at it.
 */
const NAME_OF_AN_ADDRESS = 'etcd.invalid';

/** A connection to `place`, HOST:PORT. The server's certificate must be of our CA, and for HOST, be it name or address. */
export function openChannel(place: string, tls: EtcdTls, options: ChannelOptions): Channel {
  const host = place.slice(0, place.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
  const secure = credentials.createSsl(Buffer.from(tls.ca), Buffer.from(tls.key), Buffer.from(tls.cert), {
    // Asked in place of Node's own check, with what was said on the wire; what counts is what was meant.
    checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
  });
  const named = isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': NAME_OF_AN_ADDRESS };
  return new Channel(place, secure, { ...options, ...named });
}
