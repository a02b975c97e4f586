"""Encodes pictures in bulk by Ray Data, on this machine or on the cluster that it belongs to.

    python examples/ray_encode.py photos/ encoded/                        # a .vq file for each picture
    python examples/ray_encode.py photos/ shards/ --to tar                # tar shards by the convention of WebDataset
    python examples/ray_encode.py s3://bucket/photos s3://bucket/out --to parquet --gpus 0.25
    python examples/ray_encode.py table.parquet encoded/ --column jpeg --name id

It needs `pip install 'vqcodec[ray]'`, and more than one CPU: Ray reads by one while an actor encodes by another. Run
again after a stop, it encodes what is missing, where the output is a folder that this machine sees. Pictures that cannot be encoded are
told at the end, and make the exit code 1.
"""

import argparse
import sys
from pathlib import Path

import ray

import vqcodec.ray
from vqcodec.errors import VqcodecError
from vqcodec.images.formats import IMAGE_SUFFIXES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("source", help="folder of pictures, or Parquet files, anywhere that Ray reads")
    parser.add_argument("output", help="folder to write to; of tar or Parquet, anywhere that Ray writes")
    parser.add_argument("--to", choices=["vq", "tar", "parquet"], default="vq")
    parser.add_argument("--column", default="bytes", help="column of the pictures in Parquet")
    parser.add_argument("--name", default="path", help="column of their names in Parquet")
    parser.add_argument("--quality", type=float, default=50)
    parser.add_argument("--max-bytes", type=int)
    parser.add_argument("--codes-alone", action="store_true", help="no layers, for training on codes")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--cpus", type=float, default=1, help="CPUs of an actor, and threads of torch")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of an actor, perhaps a part of one")
    parser.add_argument("--actors", type=int, help="most actors; all that there is room for by default")
    args = parser.parse_args()
    try:
        return encode(args)
    except (VqcodecError, OSError, TypeError, ValueError) as error:
        print(f"ray_encode.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


def encode(args: argparse.Namespace) -> int:
    """Encodes the pictures; returns 1 if one of them cannot be encoded."""
    check_machines(args)
    source = args.source if "://" in args.source else str(Path(args.source).absolute())  # so that Ray names pictures by whole paths
    if source.rstrip("/").endswith(".parquet"):
        dataset, root = ray.data.read_parquet(source).select_columns([args.column, args.name]), ""
    else:
        suffixes = [suffix[1:] for own in IMAGE_SUFFIXES for suffix in (own, own.upper())]
        dataset = ray.data.read_binary_files(source, include_paths=True, file_extensions=suffixes)
        root = source.partition("://")[2] if "://" in source else source
    if "://" not in args.output:
        dataset = vqcodec.ray.pending(dataset, args.output, name=args.name, root=root)
    size = {"quality": args.quality} if args.max_bytes is None else {"max_bytes": args.max_bytes}
    encoded = vqcodec.ray.encode(
        dataset,
        column=args.column,
        batch_size=args.batch_size,
        num_cpus=args.cpus,
        num_gpus=args.gpus,
        actors=args.actors,
        layers=not args.codes_alone,
        **size,
    )
    if args.to == "vq":
        results = vqcodec.ray.write_files(encoded, args.output, name=args.name, root=root).materialize()
    else:
        results = encoded.materialize()  # held in Ray's object store, which spills to disk, so that errors can be told, too
        if args.to == "tar":
            vqcodec.ray.shard_rows(results, name=args.name).write_webdataset(args.output)
        else:
            results.filter(lambda row: row["error"] is None).write_parquet(args.output)
    errors = 0
    for row in results.select_columns([args.name, "error"]).iter_rows():
        if row["error"] is not None:
            errors += 1
            print(f"{row[args.name]}: {row['error']}", file=sys.stderr)
    print(f"{results.count() - errors:,} pictures encoded, {errors:,} failed", file=sys.stderr)
    return 1 if errors else 0


def check_machines(args: argparse.Namespace) -> None:
    """Raises an error where Ray would wait for ever, for CPUs or GPUs that no machine has."""
    if not ray.is_initialized():
        ray.init()
    present = ray.cluster_resources()
    if args.gpus > present.get("GPU", 0):
        raise ValueError(f"--gpus {args.gpus}: Ray has {present.get('GPU', 0):g} GPUs")
    if args.cpus >= present["CPU"]:
        raise ValueError(f"--cpus {args.cpus}: Ray has {present['CPU']:g} CPUs, expected more than an actor has, since it reads by another")


if __name__ == "__main__":
    sys.exit(main())
