using System.Text;

namespace Millrace.Log.Tests;

/// <summary>What every storage does, the real one and the simulated one.</summary>
public abstract class StorageConformanceTests
{
    protected abstract IStorage Storage { get; }

    /// <summary>A directory that is there and empty.</summary>
    protected abstract string Root { get; }

    [Fact]
    public void Bytes_that_were_written_are_read_back_at_their_position()
    {
        using IStorageFile file = Storage.Open($"{Root}/a", StorageOpenMode.Create);
        file.Write("hello"u8, 0);
        file.Write("world"u8, 10);
        Assert.Equal(15, file.Length);
        byte[] bytes = new byte[20];
        Assert.Equal(15, file.Read(bytes, 0));
        Assert.Equal("hello\0\0\0\0\0world", Encoding.ASCII.GetString(bytes, 0, 15));
        Assert.Equal(3, file.Read(bytes, 12));
        Assert.Equal(0, file.Read(bytes, 15));
        Assert.Equal(0, file.Read(bytes, 100));
        file.SyncData();
    }

    [Fact]
    public void A_file_that_is_cut_and_grows_again_has_zeros_there()
    {
        using IStorageFile file = Storage.Open($"{Root}/a", StorageOpenMode.Create);
        file.Write("hello"u8, 0);
        file.SetLength(2);
        file.SetLength(4);
        byte[] bytes = new byte[4];
        Assert.Equal(4, file.Read(bytes, 0));
        Assert.Equal("he\0\0"u8, bytes);
    }

    [Fact]
    public void Create_empties_a_file_that_is_there()
    {
        Write($"{Root}/a", "old");
        using IStorageFile file = Storage.Open($"{Root}/a", StorageOpenMode.Create);
        Assert.Equal(0, file.Length);
    }

    [Fact]
    public void Opening_a_file_that_is_not_there_fails() =>
        Assert.Throws<FileNotFoundException>(() => Storage.Open($"{Root}/a", StorageOpenMode.Existing));

    [Fact]
    public void A_file_that_is_opened_for_reading_is_read_and_not_changed()
    {
        Write($"{Root}/a", "hello");
        using IStorageFile file = Storage.Open($"{Root}/a", StorageOpenMode.Reading);
        byte[] bytes = new byte[5];
        Assert.Equal(5, file.Read(bytes, 0));
        Assert.ThrowsAny<Exception>(() => file.Write("world"u8, 0));
        Assert.ThrowsAny<Exception>(() => file.SetLength(0));
        Assert.Equal(5, file.Read(bytes, 0));
        Assert.Equal("hello"u8, bytes);
        Assert.Throws<FileNotFoundException>(() => Storage.Open($"{Root}/b", StorageOpenMode.Reading));
    }

    [Fact]
    public void Creating_a_file_in_a_directory_that_is_not_there_fails() =>
        Assert.ThrowsAny<IOException>(() => Storage.Open($"{Root}/x/a", StorageOpenMode.Create));

    [Fact]
    public void A_rename_replaces_and_open_files_go_on()
    {
        Write($"{Root}/a", "new");
        Write($"{Root}/b", "old");
        using IStorageFile file = Storage.Open($"{Root}/a", StorageOpenMode.Existing);
        Storage.Rename($"{Root}/a", $"{Root}/b");
        Storage.SyncDirectory(Root);
        file.Write("!"u8, 3);
        Assert.False(Storage.FileExists($"{Root}/a"));
        Assert.Equal("new!", Read($"{Root}/b"));
    }

    [Fact]
    public void A_directory_is_renamed_with_all_that_is_in_it_and_never_replaces_another()
    {
        Storage.CreateDirectory($"{Root}/c");
        Write($"{Root}/c/a", "x");
        Storage.CreateDirectory($"{Root}/d");
        Assert.ThrowsAny<IOException>(() => Storage.Rename($"{Root}/c", $"{Root}/d"));
        using IStorageFile file = Storage.Open($"{Root}/c/a", StorageOpenMode.Existing);
        Storage.Rename($"{Root}/c", $"{Root}/e");
        file.Write("!"u8, 1);
        Assert.Equal("x!", Read($"{Root}/e/a"));
        Assert.False(Storage.DirectoryExists($"{Root}/c"));
    }

    [Fact]
    public void A_list_names_files_and_directories_in_order()
    {
        Write($"{Root}/b", "");
        Storage.CreateDirectory($"{Root}/c");
        Storage.CreateDirectory($"{Root}/c");
        Write($"{Root}/B", "");
        Assert.Equal([new("B", false), new("b", false), new StorageEntry("c", true)], Storage.List(Root));
        Assert.True(Storage.DirectoryExists($"{Root}/c"));
        Assert.False(Storage.DirectoryExists($"{Root}/b"));
        Assert.False(Storage.FileExists($"{Root}/c"));
        Assert.ThrowsAny<IOException>(() => Storage.List($"{Root}/d"));
        Storage.SyncDirectory(Root);
    }

    [Fact]
    public void Deleting_takes_files_and_empty_directories_only()
    {
        Storage.CreateDirectory($"{Root}/c");
        Write($"{Root}/c/a", "x");
        Assert.ThrowsAny<IOException>(() => Storage.DeleteDirectory($"{Root}/c"));
        Storage.DeleteFile($"{Root}/c/a");
        Storage.DeleteFile($"{Root}/c/a");
        Storage.DeleteDirectory($"{Root}/c");
        Assert.Empty(Storage.List(Root));
    }

    [Fact]
    public void A_lock_has_one_holder_at_a_time()
    {
        IDisposable first = Assert.IsAssignableFrom<IDisposable>(Storage.TryLock($"{Root}/.lock"));
        Assert.Null(Storage.TryLock($"{Root}/.lock"));
        first.Dispose();
        using IDisposable? second = Storage.TryLock($"{Root}/.lock");
        Assert.NotNull(second);
    }

    [Fact]
    public void A_file_that_is_disposed_says_so()
    {
        IStorageFile file = Storage.Open($"{Root}/a", StorageOpenMode.Create);
        file.Dispose();
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Write("x"u8, 0));
        Assert.Throws<ObjectDisposedException>(() => file.Read(new byte[1], 0));
        Assert.Throws<ObjectDisposedException>(file.SyncData);
    }

    private void Write(string path, string text)
    {
        using IStorageFile file = Storage.Open(path, StorageOpenMode.Create);
        file.Write(Encoding.ASCII.GetBytes(text), 0);
    }

    private string Read(string path)
    {
        using IStorageFile file = Storage.Open(path, StorageOpenMode.Existing);
        byte[] bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return Encoding.ASCII.GetString(bytes);
    }
}

public sealed class SimulatedStorageConformanceTests : StorageConformanceTests
{
    public SimulatedStorageConformanceTests() => Storage.CreateDirectory(Root);

    protected override IStorage Storage { get; } = new SimulatedStorage(1);

    protected override string Root => "/root";
}

public sealed class FileStorageConformanceTests : StorageConformanceTests, IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("millrace-log-");

    protected override IStorage Storage { get; } = new FileStorage();

    protected override string Root => _directory.FullName;

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public void Syncing_a_directory_that_is_not_there_fails() =>
        Assert.ThrowsAny<IOException>(() => Storage.SyncDirectory($"{Root}/x"));

    [Fact]
    public void What_the_disk_cannot_tell_is_not_taken_for_absent()
    {
        File.CreateSymbolicLink($"{Root}/circle", $"{Root}/circle");
        Assert.ThrowsAny<IOException>(() => Storage.FileExists($"{Root}/circle/a"));
        Assert.ThrowsAny<IOException>(() => Storage.DirectoryExists($"{Root}/circle/a"));
        Assert.False(Storage.FileExists($"{Root}/x/a"));
        Assert.False(Storage.DirectoryExists($"{Root}/x"));
        File.WriteAllText($"{Root}/file", "a");
        Assert.False(Storage.FileExists($"{Root}/file/a"));
        Assert.True(Storage.FileExists($"{Root}/file"));
        Assert.False(Storage.DirectoryExists($"{Root}/file"));
        Assert.False(Storage.FileExists(""));
    }
}
