declare const __VIPMAP_VERSION__: string | undefined;

/** The bundle has the version of package.json; a checkout says that it is one. */
export const version = typeof __VIPMAP_VERSION__ === 'undefined' ? '0.0.0-checkout' : __VIPMAP_VERSION__;
