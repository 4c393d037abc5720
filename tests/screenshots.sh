#!/usr/bin/env bash
# Starts the real window on a virtual screen, performs the newcomer's story with mouse and keyboard only, and leaves
# pictures of it to be looked at.
#
#     tests/screenshots.sh PROGRAM OUT_DIR [SIZE…]        SIZE: 1280x800 1366x768 1920x1080
#
# With STUDIO_HOME=DIR the studio's data lie in DIR and are kept: the next time the story goes on from there.
#
# Needs Xvfb, xdotool, ImageMagick and a Vulkan driver (Mesa's lavapipe will do): Debian packages xvfb, xdotool,
# imagemagick, mesa-vulkan-drivers, libvulkan1, libxkbcommon-x11-0.
set -euo pipefail

program=$(realpath "$1")
out=$(mkdir -p "$2" && realpath "$2")
shift 2
sizes=("${@:-1280x800}")
home=${STUDIO_HOME:-$(mktemp -d)}
export XDG_DATA_HOME=$home XDG_RUNTIME_DIR=$home
workspace=$home/dp2o-studio/example
candidates=1984 # 124 crops × 16 seeds
app='' screen=''

finish() {
    [ -z "$app" ] || kill "$app" 2>/dev/null || true
    [ -z "$screen" ] || kill "$screen" 2>/dev/null || true
    wait 2>/dev/null || true
    [ -n "${STUDIO_HOME:-}" ] || rm -rf "$home"
}
trap finish EXIT

shot() { # NAME: lets animations end first
    xdotool mousemove "$((width / 2))" 12
    sleep 1.2
    import -window root "$out/$name-$1.png"
}

keys() { # KEY…: without a window manager the window has to be given the keyboard
    xdotool windowfocus "$window"
    xdotool key --delay 60 "$@"
    sleep 0.6
}

until_found() { # COUNT PATTERN SECONDS: waits for files of the workspace
    for _ in $(seq "$3"); do
        [ "$(find "$workspace" -path "$2" 2>/dev/null | wc -l)" -ge "$1" ] && return
        sleep 1
    done
    echo "not found in time: $1 × $2" >&2
    return 1
}

number=70
for size in "${sizes[@]}"; do
    width=${size%x*} height=${size#*x} name=$size number=$((number + 1))
    Xvfb ":$number" -screen 0 "${size}x24" >/dev/null 2>&1 &
    screen=$!
    export DISPLAY=:$number
    sleep 1
    is_new=$([ -e "$workspace" ] || echo yes)
    "$program" &
    app=$!
    for _ in $(seq 60); do
        window=$(xdotool search --onlyvisible --pid "$app" 2>/dev/null | tail -1) && [ -n "$window" ] && break
        sleep 0.25
    done
    xdotool windowmove "$window" 0 0 windowsize "$window" "$width" "$height"

    if [ "$is_new" ]; then
        shot 00-first-start
        until_found 60 '*/images/*/lr.png' 60
        shot 01-photographs-ready
        keys ctrl+g
        until_found 60 '*/candidates/*.png' 120
        shot 02-candidates-appear
        shot 03-scores-and-pairs
        until_found "$candidates" '*/candidates/*.png' 900
        sleep 6
        keys ctrl+t
        keys ctrl+5
        until_found 1 '*/runs/*/checkpoints/*.safetensors' 300
        shot 04-training
        until_found 2 '*/runs/*/checkpoints/*.safetensors' 600
        until_found 128 '*/candidates/*/run-1-*.png' 600 # both checkpoints, 4 validation crops × 16 seeds
        sleep 10
        keys ctrl+r
        sleep 15
    else
        sleep 6
        keys ctrl+r
        sleep 20
    fi
    if [ ! -e "$home/elsewhere" ]; then
        # As another program would have left them.
        mkdir -p "$home/elsewhere"
        for image in "$workspace"/candidates/*; do
            for seed in 0 1 2 3; do
                cp "$image"/reference/*/"$seed.png" "$home/elsewhere/$(basename "$image")_$seed.png"
            done
        done
    fi
    for theme in dark light; do
        name=$size-$theme
        shot 10-seeds
        xdotool mousemove "$((width * 45 / 100))" "$((height / 2))"
        sleep 1.5
        import -window root "$out/$name-11-seeds-scores.png"
        for tab in 3 4 5 6; do
            keys "ctrl+$tab"
            sleep 2
            shot "2$tab-tab"
        done
        # All images × seeds, by rank; then the scatter with a rectangle over it, and what the metrics have in common.
        keys ctrl+shift+h
        sleep 1
        shot 24-heat-map
        xdotool mousemove "$((width * 45 / 100))" "$((height * 40 / 100))"
        sleep 1.5
        import -window root "$out/$name-24-heat-map-cell.png"
        keys ctrl+shift+f
        sleep 1.5
        xdotool mousemove "$((width * 45 / 100))" "$((height / 2))"
        sleep 0.5
        xdotool mousedown 1
        sleep 0.5
        xdotool mousemove "$((width * 55 / 100))" "$((height * 40 / 100))"
        sleep 0.5
        xdotool mousemove "$((width * 65 / 100))" "$((height * 30 / 100))"
        sleep 0.5
        xdotool mouseup 1
        shot 25-scatter-brushed
        keys ctrl+2
        shot 25-seeds-brushed
        keys ctrl+shift+f Escape
        keys ctrl+shift+m
        sleep 1
        shot 26-correlation
        # Compare, with intervals: the row under the pointer says what its figures mean.
        keys ctrl+6
        sleep 1.5
        xdotool mousemove "$((width * 26 / 100))" "$((height * 71 / 100))"
        sleep 2.5
        import -window root "$out/$name-28-compare-interval.png"
        keys ctrl+4
        keys j j j
        shot 27-fourth-pair
        keys w
        sleep 4
        shot 28-why-it-wins
        keys w a 1 3
        shot 29-blind
        keys a
        keys ctrl+2
        keys Right Return
        shot 12-loupe
        keys Escape
        keys ctrl+3
        keys ctrl+2
        keys ctrl+k
        sleep 1
        xdotool type --delay 60 'gen'
        sleep 1.5
        import -window root "$out/$name-30-palette.png"
        keys Escape
        keys F1
        import -window root "$out/$name-31-shortcuts.png"
        keys Escape
        keys ctrl+j
        shot 32-log
        keys ctrl+j
        # No dialog of the system opens here: the path is typed.
        keys ctrl+k
        sleep 1
        xdotool type --delay 60 'import cand'
        sleep 1
        keys Return
        sleep 2.5
        keys ctrl+a
        xdotool type --delay 20 "$home/else"
        sleep 0.6
        shot 33-path
        keys Tab Return
        sleep 2
        shot 34-import
        keys Escape
        keys ctrl+shift+l
    done
    keys ctrl+q
    wait "$app" || { echo "the studio ended with an error" >&2; exit 1; }
    app=''
    kill "$screen"
    wait "$screen" 2>/dev/null || true
    screen=''
done
ls "$out"
