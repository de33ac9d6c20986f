extension ReportPage {
    /// Colours by the system's preference, and light ones on paper.
    static let style = """
        :root{--bg:#fff;--fg:#1d2329;--soft:#5b6670;--line:#d5dbe1;--box:#f4f6f8;--kept:#0a6fb8;--pool:#98a4af;--drop:#c2541b;--mark:#ffe3a3;--warn:#fff3d6;--warnline:#d9a400}
        @media (prefers-color-scheme:dark){:root{--bg:#14181c;--fg:#e6eaee;--soft:#a3afba;--line:#38424b;--box:#1e242a;--kept:#5ab4f3;--pool:#687682;--drop:#f0935a;--mark:#5e4a10;--warn:#362c10;--warnline:#b98e13}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:1080px;padding:1.2rem;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
        h1{font-size:1.6rem;margin:.4rem 0}h2{font-size:1.25rem;margin:2.2rem 0 .2rem;border-top:1px solid var(--line);padding-top:1rem}h3{font-size:1rem;margin:1rem 0 .3rem}
        #summary h2{border:0;position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
        p{margin:.3rem 0 .7rem}.about,.none,footer,caption{color:var(--soft)}.about{max-width:46rem}.none{font-style:italic}
        nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:1rem 0;font-size:.92rem}a{color:var(--kept)}
        .warn{background:var(--warn);border-left:4px solid var(--warnline);padding:.6rem 1rem;margin:.8rem 0}.warn ul{margin:.3rem 0;padding-left:1.2rem}
        .cards{display:flex;flex-wrap:wrap;gap:.6rem}.card{background:var(--box);border:1px solid var(--line);border-radius:6px;padding:.5rem .9rem;flex:1 1 8.5rem;font-size:.88rem;color:var(--soft)}.card strong{display:block;font-size:1.35rem;color:var(--fg)}.card:first-child strong{color:var(--kept)}
        .several{max-width:1700px}.runs{display:flex;flex-wrap:wrap;gap:1.2rem}.run{flex:1 1 22rem;min-width:0}
        .scroll{overflow-x:auto;margin:.4rem 0}.scroll:focus-visible,a:focus-visible,summary:focus-visible{outline:2px solid var(--kept);outline-offset:2px}
        table{border-collapse:collapse;font-size:.88rem}caption{text-align:left;padding:.2rem 0}th,td{text-align:left;padding:.2rem 1.1rem .2rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:normal}td:first-child{overflow-wrap:anywhere;min-width:8rem}td:not(.n):last-child{min-width:6rem}td.w{min-width:11rem}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
        .bar{display:inline-block;height:.7em;background:var(--kept);vertical-align:baseline}.bar.under{background:var(--drop)}
        svg{display:block;width:100%;height:auto;font:13px system-ui,sans-serif}svg text{fill:var(--fg)}svg .soft{fill:var(--soft)}svg .strong{font-weight:600}.halo{paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round}
        .fk{fill:var(--kept)}.fd{fill:var(--drop);fill-opacity:.55}.fp{fill:var(--pool)}.sk{stroke:var(--kept);fill:none;stroke-width:2}.sp{stroke:var(--pool);fill:none;stroke-width:2;stroke-dasharray:5 4}.axis{stroke:var(--line);fill:none}.dp{stroke:var(--pool);stroke-width:4;stroke-linecap:round;stroke-opacity:.55;fill:none}.dk{stroke:var(--kept);stroke-width:5;stroke-linecap:round;fill:none}
        .pair{display:grid;grid-template-columns:1fr 1fr;gap:.8rem;border:1px solid var(--line);border-radius:6px;padding:.6rem .9rem;margin:.7rem 0}.pair>h4{grid-column:1/-1;margin:0;font-size:.9rem;font-weight:600}
        .record{border-left:3px solid var(--line);padding-left:.7rem;margin:.6rem 0;min-width:0}.record.kept{border-color:var(--kept)}.record.lost{border-color:var(--drop)}.record .place{font-size:.8rem;color:var(--soft);margin:0}dl{margin:0}dt{font-size:.8rem;color:var(--soft)}dd{margin:0 0 .3rem;white-space:pre-wrap;font-size:.9rem;max-height:16rem;overflow:auto}
        @media (max-width:40rem){.pair{grid-template-columns:1fr}}
        mark{background:var(--mark);color:inherit}pre{white-space:pre-wrap;font-size:.82rem;background:var(--box);padding:.6rem}summary{cursor:pointer;font-weight:600;padding:.25rem 0}.key i{display:inline-block;width:.8em;height:.8em;border-radius:50%;margin:0 .3em 0 .8em}
        @media print{:root{--bg:#fff;--fg:#000;--soft:#444;--line:#bbb;--box:#fff;--kept:#0a6fb8;--pool:#98a4af;--drop:#c2541b;--mark:#ffe3a3;--warn:#fff;--warnline:#888}nav{display:none}section{break-inside:auto}figure,tr,.card,.pair{break-inside:avoid}h2,h3{break-after:avoid}#records details::details-content{content-visibility:visible;display:block;height:auto}.bar,.fk,.key i{print-color-adjust:exact}dd{max-height:none;overflow:visible}.scroll{overflow:visible}}

        """
}
