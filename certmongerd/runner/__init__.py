"""certmongerd.runner"""
