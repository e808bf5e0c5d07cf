"""Ways in which a message could make a reader's browser run something, or ask for something, of its sender's.

Of the kinds of DOMPurify's fixtures (mutation through other name spaces, clobbering, encodings), and our own. TRAP is
where each would call; a script that ran would call `alert`.
"""

TRAP = "http://localhost:{trap}/x"

HTML = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x></svg>",
    "<svg><script>alert&#40;1)</script></svg>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<xmp><p title='</xmp><img src=x onerror=alert(1)>'>",
    "<textarea><img src=x onerror=alert(1)></textarea><title><img src=x onerror=alert(1)></title>",
    "<a href='javascript:alert(1)'>a</a><a href='java\tscript:alert(1)'>b</a><a href='&#106;avascript:alert(1)'>c</a>",
    "<a href='vbscript:x'>a</a><a href='data:text/html,<script>alert(1)</script>'>b</a>",
    "<a href=' \x01javascript:alert(1)'>a</a><a href='//localhost:{trap}/x' ping='{TRAP}'>b</a>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe><iframe src='{TRAP}'></iframe>",
    "<object data='{TRAP}'></object><embed src='{TRAP}'><applet code=x></applet>",
    "<base href='{TRAP}'><img src='y'>",
    "<meta http-equiv=refresh content='0;url={TRAP}'><link rel=stylesheet href='{TRAP}'>",
    "<link rel=prefetch href='{TRAP}'><link rel=icon href='{TRAP}'>",
    "<form action='{TRAP}'><input autofocus onfocus=alert(1)><button formaction='{TRAP}'>x</button></form>",
    "<img src='{TRAP}'><img srcset='{TRAP} 2x'><picture><source srcset='{TRAP}'></picture>",
    "<img src='cid:nothing'><img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<video poster='{TRAP}'><source src='{TRAP}'></video><audio src='{TRAP}' autoplay></audio><track src='{TRAP}'>",
    "<div style='background:url({TRAP})'>x</div><div style=\"background:u\\72l('{TRAP}')\">x</div>",
    "<div style='background-image:image-set(\"{TRAP}\" 1x)'>x</div><li style='list-style:url({TRAP})'>x",
    "<div style='width:expression(alert(1));behavior:url({TRAP})'>x</div>",
    "<style>@import '{TRAP}';body{background:url({TRAP})}</style><table background='{TRAP}'><td background='{TRAP}'>x",
    "<div style='position:fixed;top:0;left:0;width:9999px;height:9999px'>over all</div>",
    "<details open ontoggle=alert(1)>x</details><marquee onstart=alert(1)>x</marquee><body onload=alert(1)>",
    "<input type=image src='{TRAP}'><isindex type=image src='{TRAP}'><keygen autofocus onfocus=alert(1)>",
    "<b <script>alert(1)</script>0</b><img/src='x'/onerror=alert(1)><img src=x onerror\x0c=alert(1)>",
    "<a id=location name=location>x</a><img name=cookie><form id=body></form>",
    "<!--><img src=x onerror=alert(1)>--><![CDATA[<img src=x onerror=alert(1)>]]><?x <img src=x onerror=alert(1)>?>",
    "\u2028<scr\0ipt>alert(1)</scr\0ipt><\u017fcript>alert(1)</\u017fcript>+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
)
WORDS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "</title><svg onload=alert(1)>",
)


def filled(vector: str, trap: int) -> str:
    """A vector that would call this port."""
    return vector.replace("{TRAP}", TRAP).replace("{trap}", str(trap))
