namespace Millrace.Log.Tests;

/// <summary>What the simulated disk loses, and what it must not.</summary>
public class SimulatedStorageTests
{
    private const int SeedCount = 200;

    [Fact]
    public void What_was_synced_survives_every_power_loss()
    {
        AssertOutcomes(static storage => Write(storage, "/d/a", syncsFile: true, syncsDirectory: true), ["hello"]);
    }

    [Fact]
    public void A_new_name_is_lost_or_kept_where_its_directory_was_not_synced() =>
        AssertOutcomes(static storage => Write(storage, "/d/a", syncsFile: true, syncsDirectory: false), ["hello", null]);

    [Fact]
    public void Bytes_are_lost_kept_or_torn_where_the_file_was_not_synced()
    {
        HashSet<string?> outcomes = Outcomes(static storage => Write(storage, "/d/a", syncsFile: false, syncsDirectory: true));
        Assert.Contains("", outcomes);
        Assert.Contains("hello", outcomes);
        Assert.True(outcomes.Count > 3, "There are torn ones.");
    }

    [Fact]
    public void A_rename_that_was_not_synced_leaves_the_old_or_the_new_and_no_mixture() =>
        AssertOutcomes(
            static storage =>
            {
                Write(storage, "/d/a", syncsFile: true, syncsDirectory: true);
                Write(storage, "/d/a.tmp", syncsFile: true, syncsDirectory: false, "other");
                storage.Rename("/d/a.tmp", "/d/a");
            },
            ["hello", "other"]);

    [Fact]
    public void A_killed_process_loses_nothing()
    {
        var storage = new SimulatedStorage(1);
        storage.CreateDirectory("/d");
        Write(storage, "/d/a", syncsFile: false, syncsDirectory: false);
        Assert.Equal("hello", Read(storage.Crash(SimulatedCrashKind.ProcessKill)));
    }

    [Fact]
    public void A_disk_whose_flush_does_nothing_loses_what_was_synced()
    {
        HashSet<string?> outcomes = Outcomes(static storage =>
        {
            storage.IgnoresFlushes = true;
            Write(storage, "/d/a", syncsFile: true, syncsDirectory: true);
        });
        Assert.Contains(null, outcomes);
    }

    [Fact]
    public void After_a_failed_sync_a_second_one_brings_nothing_to_the_disk_but_writing_again_does()
    {
        var storage = new SimulatedStorage(1);
        storage.CreateDirectory("/d");
        storage.SyncDirectory("/");
        using IStorageFile file = storage.Open("/d/a", StorageOpenMode.Create);
        storage.SyncDirectory("/d");
        file.Write("hello"u8, 0);
        storage.FailNext(SimulatedOperation.SyncData);
        Assert.Throws<IOException>(file.SyncData);
        Assert.Equal(5, file.Length);
        Assert.Equal("", Read(storage.Crash(SimulatedCrashKind.PowerLoss)));
    }

    [Fact]
    public void A_full_disk_takes_what_fits_and_fails()
    {
        var storage = new SimulatedStorage(1) { FreeByteCount = 3 };
        using IStorageFile file = storage.Open("/a", StorageOpenMode.Create);
        Assert.Throws<IOException>(() => file.Write("hello"u8, 0));
        Assert.Equal(3, file.Length);
        file.Write("abc"u8, 0);
    }

    [Fact]
    public void After_a_crash_nothing_works_any_more()
    {
        var storage = new SimulatedStorage(1);
        IStorageFile file = storage.Open("/a", StorageOpenMode.Create);
        storage.CrashAfter(0);
        Assert.Throws<SimulatedCrashException>(() => file.Write("x"u8, 0));
        Assert.Throws<SimulatedCrashException>(() => file.Read(new byte[1], 0));
        Assert.Throws<SimulatedCrashException>(() => storage.FileExists("/a"));
    }

    [Fact]
    public void The_hash_tells_one_byte_apart()
    {
        Assert.Equal(HashOf("hello"), HashOf("hello"));
        Assert.NotEqual(HashOf("hello"), HashOf("hellp"));
    }

    private static ulong HashOf(string content)
    {
        var storage = new SimulatedStorage(1);
        storage.CreateDirectory("/d");
        Write(storage, "/d/a", syncsFile: true, syncsDirectory: true, content);
        return storage.Hash;
    }

    private static void AssertOutcomes(Action<SimulatedStorage> act, HashSet<string?> expected) => Assert.Equal(expected, Outcomes(act));

    /// <summary>What the file holds after a power loss, over many seeds; null where it is gone.</summary>
    private static HashSet<string?> Outcomes(Action<SimulatedStorage> act)
    {
        var outcomes = new HashSet<string?>();
        for (int seed = 0; seed < SeedCount; seed++)
        {
            var storage = new SimulatedStorage(seed);
            storage.CreateDirectory("/d");
            storage.SyncDirectory("/");
            act(storage);
            outcomes.Add(Read(storage.Crash(SimulatedCrashKind.PowerLoss)));
        }

        return outcomes;
    }

    private static void Write(SimulatedStorage storage, string path, bool syncsFile, bool syncsDirectory, string content = "hello")
    {
        using IStorageFile file = storage.Open(path, StorageOpenMode.Create);
        file.Write(System.Text.Encoding.ASCII.GetBytes(content), 0);
        if (syncsFile)
        {
            file.SyncData();
        }

        if (syncsDirectory)
        {
            storage.SyncDirectory("/d");
        }
    }

    private static string? Read(SimulatedStorage storage)
    {
        if (!storage.FileExists("/d/a"))
        {
            return null;
        }

        using IStorageFile file = storage.Open("/d/a", StorageOpenMode.Existing);
        byte[] bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return System.Text.Encoding.ASCII.GetString(bytes);
    }
}
