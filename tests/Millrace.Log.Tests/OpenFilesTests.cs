namespace Millrace.Log.Tests;

public class OpenFilesTests
{
    private readonly SimulatedStorage _storage = new(1);

    public OpenFilesTests()
    {
        _storage.CreateDirectory("/d");
        _storage.SyncDirectory("/");
    }

    [Fact]
    public void No_more_files_are_open_than_allowed_and_the_one_unused_for_longest_is_closed()
    {
        var files = new OpenFiles(_storage, maximumCount: 2);
        LazyFile[] made = [.. Enumerable.Range(0, 3).Select(number => files.Create("/d", $"f{number}"))];
        Assert.Equal(2, files.Count);
        Assert.Equal([false, true, true], made.Select(static file => file.IsOpen));

        made[1].Write("x"u8, 0);
        made[0].Write("y"u8, 0);
        Assert.Equal([true, true, false], made.Select(static file => file.IsOpen));
        Assert.Equal(1, made[2].Length + made[1].Length);
        Assert.Equal(2, files.Count);
    }

    [Fact]
    public void A_file_is_opened_at_its_first_use()
    {
        Write("/d/a", "hello");
        var files = new OpenFiles(_storage, maximumCount: 2);
        LazyFile file = files.Existing("/d", "a");
        Assert.False(file.IsOpen);
        Assert.Equal(5, file.Length);
        Assert.True(file.IsOpen);
        Assert.Throws<FileNotFoundException>(() => files.Existing("/d", "b").Length);
        Assert.Equal(1, files.Count);
    }

    [Fact]
    public void A_file_in_use_is_not_closed()
    {
        var files = new OpenFiles(_storage, maximumCount: 1);
        LazyFile held = files.Create("/d", "a");
        LazyFile other = files.Create("/d", "b");
        using (FileUse use = held.Use())
        {
            _ = other.Length;
            Assert.True(held.IsOpen && other.IsOpen);
            use.File.Write("x"u8, 0);
        }

        // The next one that comes makes room for the one too many as well.
        LazyFile third = files.Create("/d", "c");
        Assert.Equal(1, files.Count);
        Assert.True(third.IsOpen);
    }

    [Fact]
    public void Bytes_that_were_not_synced_are_synced_before_their_file_is_closed()
    {
        var files = new OpenFiles(_storage, maximumCount: 1);
        files.Create("/d", "a").Write("hello"u8, 0);
        _storage.SyncDirectory("/d");
        files.Create("/d", "b");
        Assert.Equal("hello", Read(_storage.Crash(SimulatedCrashKind.PowerLoss), "/d/a"));
    }

    [Fact]
    public void A_sync_that_failed_at_the_closing_fails_the_next_write_and_every_sync()
    {
        var files = new OpenFiles(_storage, maximumCount: 1);
        LazyFile file = files.Create("/d", "a");
        file.Write("hello"u8, 0);
        _storage.FailNext(SimulatedOperation.SyncData, "/d/a");
        files.Create("/d", "b");
        Assert.Throws<IOException>(file.SyncData);
        Assert.Throws<IOException>(() => file.Write("x"u8, 5));
        Assert.Throws<IOException>(() => file.SetLength(0));
        Assert.Throws<IOException>(file.SyncData);
        Assert.Equal(5, file.Length);
    }

    [Fact]
    public void A_sync_that_failed_is_not_tried_again_as_if_nothing_had_happened()
    {
        LazyFile file = new OpenFiles(_storage, maximumCount: 1).Create("/d", "a");
        file.Write("hello"u8, 0);
        _storage.FailNext(SimulatedOperation.SyncData, "/d/a");
        Assert.Throws<IOException>(file.SyncData);
        Assert.Throws<IOException>(file.SyncData);
    }

    [Fact]
    public void A_file_that_is_renamed_is_opened_by_its_new_name()
    {
        var files = new OpenFiles(_storage, maximumCount: 1);
        LazyFile file = files.Create("/d", "a");
        file.Write("hello"u8, 0);
        file.Rename("b");
        Assert.Equal("/d/b", file.Path);
        Assert.Equal(5, file.Length);
        files.Create("/d", "c");
        Assert.False(file.IsOpen);
        Assert.Equal(5, file.Length);
    }

    [Fact]
    public void A_file_that_is_disposed_in_use_closes_when_it_is_let_go()
    {
        var files = new OpenFiles(_storage, maximumCount: 4);
        LazyFile file = files.Create("/d", "a");
        FileUse use = file.Use();
        file.Dispose();
        use.File.Write("x"u8, 0);
        Assert.True(file.IsOpen);
        use.Dispose();
        Assert.False(file.IsOpen);
        Assert.Equal(0, files.Count);
        Assert.Throws<ObjectDisposedException>(() => file.Length);
        Assert.Throws<ObjectDisposedException>(() => use.File.Length);
    }

    [Fact]
    public void After_all_is_disposed_no_file_opens()
    {
        Write("/d/a", "hello");
        var files = new OpenFiles(_storage, maximumCount: 4);
        LazyFile closed = files.Existing("/d", "a");
        LazyFile open = files.Create("/d", "b");
        files.Dispose();
        Assert.Throws<ObjectDisposedException>(() => closed.Length);
        Assert.Throws<ObjectDisposedException>(() => open.Length);
        Assert.Equal(0, files.Count);
    }

    [Fact]
    public async Task Many_threads_use_many_files_through_few_open_ones()
    {
        const int fileCount = 12;
        var files = new OpenFiles(_storage, maximumCount: 3);
        LazyFile[] made = [.. Enumerable.Range(0, fileCount).Select(number => files.Create("/d", $"f{number}"))];
        await Task.WhenAll(Enumerable.Range(0, 4).Select(thread => Task.Run(() =>
        {
            var random = new Random(thread);
            for (int round = 0; round < 5000; round++)
            {
                int number = random.Next(fileCount);
                made[number].Write([(byte)number], thread);
                byte[] read = new byte[1];
                Assert.Equal(1, made[number].Read(read, thread));
                Assert.Equal(number, read[0]);
            }
        })));
        _ = files.Create("/d", "last");
        Assert.InRange(files.Count, 1, 6);
    }

    private void Write(string path, string text)
    {
        using IStorageFile file = _storage.Open(path, StorageOpenMode.Create);
        file.Write(System.Text.Encoding.ASCII.GetBytes(text), 0);
    }

    private static string Read(SimulatedStorage storage, string path)
    {
        using IStorageFile file = storage.Open(path, StorageOpenMode.Existing);
        byte[] bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return System.Text.Encoding.ASCII.GetString(bytes);
    }
}
