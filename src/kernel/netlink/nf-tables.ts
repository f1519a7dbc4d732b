import { NFNL_SUBSYS_NFTABLES } from './message.ts';

/** Numbers of linux/netfilter/nf_tables.h, without their prefixes NFT_MSG_, NFTA_ and NFT_. */

const subsystem = NFNL_SUBSYS_NFTABLES << 8;
export const NEWSET = subsystem | 9;
export const GETSET = subsystem | 10;
export const NEWSETELEM = subsystem | 12;
export const GETSETELEM = subsystem | 13;
export const DELSETELEM = subsystem | 14;

export const SET_FLAGS = 3;
export const SET_KEY_LEN = 5;
export const SET_DATA_TYPE = 6;
export const SET_COUNT = 20;
export const SET_INTERVAL = 0x4;
export const SET_MAP = 0x8;

/** NFTA_SET_ELEM_LIST_ */
export const LIST_TABLE = 1;
export const LIST_SET = 2;
export const LIST_ELEMENTS = 3;
/** NFTA_LIST_ELEM */
export const LIST_ELEM = 1;

/** NFTA_SET_ELEM_ */
export const ELEM_KEY = 1;
export const ELEM_DATA = 2;
export const ELEM_FLAGS = 3;

export const DATA_VALUE = 1;
/** NFTA_DATA_VERDICT */
export const DATA_VERDICT_ATTRIBUTE = 2;
/** NFT_DATA_VERDICT, the type of a verdict map's data. */
export const DATA_VERDICT = 0xffff_ff00;
export const VERDICT_CODE = 1;
export const VERDICT_CHAIN = 2;

export const verdictCodes = { drop: 0, accept: 1, goto: -4, return: -5 } as const;
