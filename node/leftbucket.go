package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cairn/internal/wholefile"
	"cairn/node/config"
	"cairn/share"
	"cairn/share/s3"
	"cairn/share/spill"
)

// What a bucket is used for, as its index keeps it.
const (
	useSpill   = "spill"
	useStorage = "storage"
)

// givenUpFile lies beside the index of a bucket that was given up with what is in it.
const givenUpFile = "given-up"

// NamedBucket returns the bucket that settings name, as the node's own or behind its disk, without keys, and false where they name none.
func NamedBucket(c config.Config) (b s3.Config, named bool, err error) {
	switch {
	case c.Storage.Enabled && c.Storage.Bucket():
		b, err = storageBucket(c)
	case c.Spill.Bucket != "":
		b, err = spillBucket(c)
	default:
		return s3.Config{}, false, nil
	}
	return b, err == nil, err
}

// LeavesBucket returns an *s3.OtherError when settings name another bucket than the one in which the node of a directory has shares, or none, and
// that was not given up, or may have some. It asks no server, and so takes a bucket that goes by another name now for another one. It returns share.ErrBusy
// while the node runs and has the bucket open.
func LeavesBucket(path string, c config.Config) error {
	now, named, err := NamedBucket(c)
	if err != nil {
		return err
	}
	if gone, err := givenUp(path); gone || err != nil {
		return err
	}
	folder := filepath.Join(path, bucketIndex)
	known, err := s3.PeekPlace(folder)
	if err == nil && known.URL != "" && (!named || known.URL != now.URL()) {
		known, err = s3.Peek(folder)
	} else if err == nil {
		// Whether it is the same one shows when it is opened. One without a URL an earlier version has left, under which settings could name none.
		return nil
	}
	switch {
	case errors.Is(err, share.ErrNotFound), errors.Is(err, share.ErrCorrupt):
		return nil
	case err != nil || known.Empty():
		return err
	}
	left := &s3.OtherError{Held: known}
	if named {
		left.Now = now.Place()
	}
	return left
}

// UsedForStorage reports whether a bucket was the node's own store, and not behind its disk.
func UsedForStorage(k s3.Known) bool { return k.Use == useStorage }

// AbandonBucket tells what the index of the node's bucket has, and gives it up like GiveUpBucket. It returns share.ErrNotFound where no bucket
// keeps the settings from being changed.
func AbandonBucket(path string, tell func(s3.Content)) error {
	known, err := s3.Peek(filepath.Join(path, bucketIndex))
	if err == nil && known.Empty() {
		err = share.ErrNotFound
	}
	if errors.Is(err, share.ErrNotFound) {
		return fmt.Errorf("this node has nothing in a bucket: %w", share.ErrNotFound)
	}
	if err == nil {
		err = BucketContents(path, tell)
	}
	if err == nil {
		err = GiveUpBucket(path)
	}
	if err != nil {
		return fmt.Errorf("give up what is in the bucket: %w", err)
	}
	return nil
}

// BucketContents tells what the index of the node's bucket has, with the errors of s3.Peek.
func BucketContents(path string, tell func(s3.Content)) error {
	return s3.Contents(filepath.Join(path, bucketIndex), tell)
}

// IsCopy reports whether something in the bucket is a copy that stays there.
func IsCopy(c s3.Content) bool { return spill.IsCopy(c.Owners) }

// GiveUpBucket has the next start of the node begin without what is known of its bucket. What is in the bucket stays there.
func GiveUpBucket(path string) error {
	folder := filepath.Join(path, bucketIndex)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return wholefile.Write(filepath.Join(folder, givenUpFile), []byte("what is in the bucket was given up\n"), 0o600)
}

// KeepBucket undoes GiveUpBucket.
func KeepBucket(path string) error {
	err := os.Remove(filepath.Join(path, bucketIndex, givenUpFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func givenUp(path string) (bool, error) {
	_, err := os.Stat(filepath.Join(path, bucketIndex, givenUpFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// checkBucket ends the start under settings that leave a bucket in which shares are.
func (n *Node) checkBucket(ctx context.Context) error {
	if gone, err := givenUp(n.dir.path); err != nil || gone {
		if err == nil {
			err = s3.SetAside(n.dir.file(bucketIndex))
		}
		if err == nil {
			err = os.Remove(filepath.Join(n.dir.file(bucketIndex), givenUpFile))
		}
		if err != nil {
			return fmt.Errorf("give up what is in the bucket: %w", err)
		}
		n.log.Info("what was in the bucket is given up", "part", "bucket")
	}
	err := LeavesBucket(n.dir.path, n.config)
	left, ok := errors.AsType[*s3.OtherError](err)
	if !ok || left.Now == "" {
		return err
	}
	where, named, failed := n.dir.StorageBucket(n.config)
	if !named && failed == nil {
		where, _, failed = n.dir.Bucket(n.config)
	}
	if failed != nil {
		return failed
	}
	where.Timeout = requestWithin
	same, failed := s3.Same(ctx, where, left.Held)
	if same {
		return nil
	}
	if failed != nil {
		left.Why = "whether it is the same bucket could not be found out: " + s3.Explain(failed)
	}
	return left
}
