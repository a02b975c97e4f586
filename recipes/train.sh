#!/usr/bin/env bash
# Trains a model from nothing: autoencoder, priors, both together, priors again, perceptual decoder, and the dials of both decoders. Measures
# the ranges by which it encodes in 8 bits.
#
#     MINUTES=10 recipes/train.sh PHOTOS HELD-OUT FOLDER
#
# PHOTOS is what `vqcodec train --data` takes, HELD-OUT a folder of pictures. FOLDER gets the runs, and the model as FOLDER/models/NAME. Each
# run takes its share of MINUTES by the clock; what lies between the runs (code maps, exports, dials, measurements) comes on top. A script
# that was cut goes on where it was when it is started again. It needs the extra `dev`, and this checkout as the working folder.
set -euo pipefail
[ $# = 3 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
photos=$1 held_out=$2 folder=$3
: "${MINUTES:=10}"                  # time of all runs together
: "${NAME:=mine}" "${NUMBER:=1001}" # id and number of the model
: "${START:=}"                      # model folder to start from instead of from nothing
: "${JOINT:=rate.toml}"             # recipe of the joint run: joint.toml, on a GPU, trains the perceptual decoder along
: "${EXPORT_CROPS:=2000}"           # crops that codes are counted on
: "${DIAL_CROPS:=24}"               # crops that dials and ranges are measured on
: "${RECIPES:=$(cd "$(dirname "$0")" && pwd)}" # folder of the recipes
model=$folder/models/$NAME
shares=100 # in percent, of all runs
[ -z "$START" ] || shares=60
mkdir -p "$folder/done"
export VQCODEC_MODELS="$folder/models"

step() { # step NAME COMMAND...: does what was not done before
    local name=$1
    shift
    [ -e "$folder/done/$name" ] && return
    printf '\n== %s (after %d s)\n' "$name" "$SECONDS" >&2
    "$@"
    touch "$folder/done/$name"
}
run() { # run NAME SHARE KIND START ARGUMENTS...: trains for a share of the time, from a model if START names one
    local out=$folder/runs/$1 beginning=() minutes
    minutes=$(awk "BEGIN { print $MINUTES * $2 / $shares }")
    [ -z "$4" ] || beginning=(--start-from "$4")
    [ ! -e "$out/checkpoint.pt" ] || beginning=(--resume)
    step "train-$1" vqcodec train "$3" "${@:5}" --minutes "$minutes" --out "$out" "${beginning[@]}"
}
priors() { # priors NAME MODEL SHARE START: trains the priors of all maps of a model, and adds them to it
    local name=$1 model=$2 share=$3 start=$4 number recipe config lower=
    [ -z "$start" ] || lower="s/^lr_muon = .*/lr_muon = 0.004/; s/^lr_adamw = .*/lr_adamw = 0.0004/" # they have learned before
    step "codes-$name" vqcodec train codes --model "$model" --data "$photos" --cache "$folder/cache" --out "$folder/codes-$name"
    step "codes-held-out-$name" vqcodec train codes --model "$model" --data "$held_out" --cache "$folder/cache" \
        --out "$folder/codes-held-out-$name"
    for number in 0 1 2 3; do
        recipe=prior-bottom.toml config=$folder/prior-$number-$name.toml
        [ "$number" != 0 ] || recipe=prior-top.toml
        sed "s/^earlier_maps = [01]/earlier_maps = $number/; $lower" "$RECIPES/$recipe" > "$config"
        run "prior-$number-$name" "$share" prior "$start" --config "$config" --codes "$folder/codes-$name" \
            --val "$folder/codes-held-out-$name"
        step "export-prior-$number-$name" vqcodec train export --run "$folder/runs/prior-$number-$name" --out "$model"
    done
}
data=(--data "$photos" --cache "$folder/cache")

draft=$START
if [ -z "$START" ]; then
    draft=$folder/models/$NAME-draft
    run autoencoder 20 autoencoder "" --config "$RECIPES/autoencoder.toml" "${data[@]}" --val "$held_out"
    step export-draft vqcodec train export --run "$folder/runs/autoencoder" "${data[@]}" --out "$draft" --number $((NUMBER + 1)) \
        --crops "$EXPORT_CROPS" --force
    priors draft "$draft" 5 ""
fi
run joint 30 autoencoder "$draft" --config "$RECIPES/$JOINT" --priors "$draft" "${data[@]}" --val "$held_out"
step export vqcodec train export --run "$folder/runs/joint" "${data[@]}" --out "$model" --number "$NUMBER" --crops "$EXPORT_CROPS" --force
priors last "$model" 3 "$model"
step ranges vqcodec train ranges --model "$model" --data "$held_out" --cache "$folder/cache" --crops "$DIAL_CROPS"
step dial vqcodec train dial --model "$model" --data "$held_out" --cache "$folder/cache" --crops "$DIAL_CROPS"

decoder_start=
[ ! -e "$model/perceptual.safetensors" ] || decoder_start=$model
run decoder 18 decoder "$decoder_start" --config "$RECIPES/decoder.toml" --model "$model" "${data[@]}" --val "$held_out"
step export-decoder vqcodec train export --run "$folder/runs/decoder" --out "$model"
step dial-perceptual vqcodec train dial --model "$model" --perceptual --data "$held_out" --cache "$folder/cache" --crops "$DIAL_CROPS"

step encode vqcodec encode "$held_out" -o "$folder/files/" --model "$model" --skip-existing
step decode vqcodec decode "$folder/files" -o "$folder/pictures/" --skip-existing
step measure python -m bench model --images "$held_out" --model "$model"
printf '\n== done (after %d s): %s\n' "$SECONDS" "$model" >&2
